//! A screen as a picture: text in the reader's own fixed-width letters, on a light or a dark ground as the reader's page
//! is.

use std::fmt::Write as _;

use super::ansi::{Look, Piece};

/// Width and height of a letter, and how far its foot is above the bottom of its line, in tenths of a pixel.
const LETTER: (u32, u32, u32) = (78, 170, 45);

/// Room around the screen, in tenths of a pixel.
const ROOM: u32 = 100;

/// Colours for both grounds: ground, letters, and the terminal's first eight colours.
const STYLE: &str = "\
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre;fill:#1f2328}\
.g{fill:#ffffff}.i{fill:#1f2328}text.v{fill:#ffffff}.b{font-weight:bold}.u{text-decoration:underline}\
.c1{fill:#b3261e}.c2{fill:#1a7f37}.c3{fill:#7d5a00}.c4{fill:#0550ae}.c5{fill:#8a1c9c}.c6{fill:#0a6c74}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.g{fill:#0d1117}.i{fill:#e6edf3}text.v{fill:#0d1117}\
.c1{fill:#ff7b72}.c2{fill:#56d364}.c3{fill:#e3b341}.c4{fill:#79c0ff}.c5{fill:#e48cf0}.c6{fill:#56d4dd}}";

/// The picture of a screen of so many columns and rows.
pub(super) fn of(lines: &[Vec<Piece>], (columns, rows): (u16, u16), title: &str) -> String {
    let width = u32::from(columns) * LETTER.0 + 2 * ROOM;
    let height = u32::from(rows) * LETTER.1 + 2 * ROOM;
    let (width, height) = (pixels(width), pixels(height));
    let title = escaped(title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
         {height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<rect class=\"g\" \
         width=\"{width}\" height=\"{height}\" rx=\"6\"/>\n"
    );
    for (row, line) in lines.iter().take(rows.into()).enumerate() {
        let top = ROOM + u32::try_from(row).unwrap_or(0) * LETTER.1;
        line.iter().for_each(|piece| add(&mut svg, piece, top));
    }
    svg + "</svg>\n"
}

fn add(svg: &mut String, piece: &Piece, top: u32) {
    let Piece { column, text, look } = piece;
    let left = ROOM + u32::try_from(*column).unwrap_or(0) * LETTER.0;
    let width = u32::try_from(text.chars().count()).unwrap_or(0) * LETTER.0;
    if look.reversed {
        let _ = writeln!(
            svg,
            "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            look.colour.map_or_else(|| "i".to_owned(), |colour| format!("c{colour}")),
            pixels(left),
            pixels(top),
            pixels(width),
            pixels(LETTER.1),
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let _ = writeln!(
        svg,
        "<text{} x=\"{}\" y=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" \
         xml:space=\"preserve\">{}</text>",
        class(*look),
        pixels(left),
        pixels(top + LETTER.1 - LETTER.2),
        pixels(width),
        escaped(text),
    );
}

fn class(look: Look) -> String {
    let mut classes = Vec::new();
    match (look.reversed, look.colour) {
        (true, _) => classes.push("v".to_owned()),
        (false, Some(colour)) => classes.push(format!("c{colour}")),
        (false, None) => {}
    }
    classes.extend(look.bold.then(|| "b".to_owned()));
    classes.extend(look.underlined.then(|| "u".to_owned()));
    if classes.is_empty() { String::new() } else { format!(" class=\"{}\"", classes.join(" ")) }
}

fn pixels(tenths: u32) -> String {
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        tenth => format!("{}.{tenth}", tenths / 10),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_where_it_stood_and_breaks_nothing() {
        let look = Look { colour: Some(1), bold: true, ..Look::default() };
        let piece = Piece { column: 2, text: "a<b & c".to_owned(), look };
        let svg = of(&[vec![piece]], (80, 24), "x & y");
        assert!(svg.contains("<title>x &amp; y</title>"), "{svg}");
        assert!(svg.contains("class=\"c1 b\" x=\"25.6\" y=\"22.5\""), "{svg}");
        assert!(svg.contains(">a&lt;b &amp; c</text>"), "{svg}");
    }

    #[test]
    fn what_is_reversed_has_a_ground() {
        let look = Look { reversed: true, ..Look::default() };
        let piece = Piece { column: 0, text: "  ".to_owned(), look };
        let svg = of(&[vec![piece]], (80, 24), "");
        assert!(
            svg.contains("<rect class=\"i\" x=\"10\" y=\"10\" width=\"15.6\" height=\"17\"/>"),
            "{svg}"
        );
        assert!(!svg.contains("<text"), "{svg}");
    }
}
