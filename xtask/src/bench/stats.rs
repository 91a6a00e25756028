//! Statistics, and how numbers are written. Pure.

/// Median of the values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
}

/// Parts by which each of `values` is greater than its partner: their median and both quartiles. Partners
/// come from the same round, so that what was slow for both makes no difference.
pub(crate) fn paired(values: &[f64], partners: &[f64]) -> Option<(f64, f64, f64)> {
    let parts = values.iter().zip(partners).filter(|(_, partner)| **partner != 0.0);
    let mut parts: Vec<_> = parts.map(|(value, partner)| value / partner - 1.0).collect();
    parts.sort_by(f64::total_cmp);
    let middle = median(&parts)?;
    let half = parts.len().div_ceil(2);
    Some((middle, median(&parts[..half])?, median(&parts[parts.len() - half..])?))
}

/// Distance from the least to the greatest, as a part of the median.
pub(crate) fn spread(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (middle != 0.0).then(|| (greatest - least) / middle)
}

/// Whole number with its thousands set apart: `1,234,567`.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// Number with three digits that count.
pub(crate) fn significant(value: f64) -> String {
    if value.abs() >= 100.0 {
        return grouped(value);
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // A size of ten has one digit less behind the point; what is very small has a few more.
    #[expect(clippy::cast_possible_truncation, reason = "an exponent")]
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 9);
    format!("{value:.*}", usize::try_from(digits).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn partners_are_compared_in_their_round() {
        // Half as fast in the second round, both of them.
        let (middle, low, high) = paired(&[90.0, 44.0, 91.0], &[100.0, 50.0, 100.0]).expect("some");
        assert!((middle + 0.1).abs() < 1e-9, "{middle}");
        assert!((low + 0.11).abs() < 1e-9 && (high + 0.095).abs() < 1e-9, "{low} {high}");
        assert_eq!(paired(&[], &[1.0]), None);
        assert_eq!(paired(&[1.0], &[0.0]), None);
    }

    #[test]
    fn the_spread_is_a_part_of_the_median() {
        assert_eq!(spread(&[9.0, 10.0, 12.0]), Some(0.3));
        assert_eq!(spread(&[0.0]), None);
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in
            [(0.4, "0"), (999.0, "999"), (1000.0, "1,000"), (-1_234_567.0, "-1,234,567")]
        {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn three_digits_count() {
        for (value, text) in
            [(0.0, "0"), (0.001_234, "0.00123"), (62.04, "62.0"), (9170.4, "9,170")]
        {
            assert_eq!(significant(value), text);
        }
    }
}
