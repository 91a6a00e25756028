//! Bars, gauges and sparklines, of the eighths that a terminal's letters are divided into.

use crate::app::render::text;

/// Eighths from below.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Eighths from the left.
const LENGTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A bar that is `width` long where `value` is `most`; what is more than nothing is seen.
pub fn bar(value: f64, most: f64, width: usize) -> String {
    let eighths = eighths(value, most, width * 8);
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(LENGTHS[eighths % 8]);
    }
    let room = width.saturating_sub(text::width(&bar));
    bar + &" ".repeat(room)
}

/// A bar between two ends, so that what is left can be seen too.
pub fn gauge(value: f64, most: f64, width: usize) -> String {
    format!("[{}]", bar(value.min(most), most, width.saturating_sub(2)))
}

/// One letter for each value, as high as it is beside the greatest.
pub fn sparkline(values: &[f32]) -> String {
    let most = values.iter().copied().fold(0.0_f32, f32::max);
    values.iter().map(|value| HEIGHTS[eighths((*value).into(), most.into(), 8)]).collect()
}

/// How many of `whole` parts a value has; at least one where it is more than nothing.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a small whole"
)]
fn eighths(value: f64, most: f64, whole: usize) -> usize {
    if !(value > 0.0 && most > 0.0 && whole > 0) {
        return 0;
    }
    ((value / most * whole as f64).round() as usize).clamp(1, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_their_length() {
        assert_eq!(bar(1.0, 2.0, 4), "██  ");
        assert_eq!(bar(1.0, 1_000.0, 4), "▏   ");
        assert_eq!(bar(0.0, 2.0, 4), "    ");
        assert_eq!(bar(9.0, 2.0, 4), "████");
        assert_eq!(bar(f64::NAN, 0.0, 2), "  ");
        assert_eq!(bar(1.0, 2.0, 0), "");
        assert_eq!(gauge(5.0, 10.0, 6), "[██  ]");
    }

    #[test]
    fn sparklines_have_the_greatest_for_their_measure() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0, 0.01]), " ▁▄█▁");
        assert_eq!(sparkline(&[0.0, 0.0]), "  ");
        assert_eq!(sparkline(&[]), "");
    }
}
