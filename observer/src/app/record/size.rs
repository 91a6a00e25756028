//! Sizes as people write and read them.

/// Parses a size such as `64M`, `500k` or `1G`: powers of 1024, as logrotate has them.
///
/// # Errors
///
/// In the words for whoever typed it.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let unit: u64 = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err("write a size such as 500k, 64M or 1G".into()),
    };
    let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match size {
        None => Err("write a size such as 500k, 64M or 1G".into()),
        Some(0..4096) => {
            Err("less than 4k holds no report; write a size such as 500k, 64M or 1G".into())
        }
        Some(size) => Ok(size),
    }
}

/// A size in decimal units, as `ls --si` has them: `10 B`, `1.2 MB`.
pub(super) fn words(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, size) in [
            ("8192", Some(8192)),
            ("500k", Some(512_000)),
            ("64M", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("1g", Some(1 << 30)),
            ("2T", Some(2 << 40)),
            ("", None),
            ("M", None),
            ("1.5G", None),
            ("-1", None),
            ("1X", None),
            ("100", None),
            ("99999999999G", None),
        ] {
            assert_eq!(parse(text).ok(), size, "{text}");
        }
        assert!(parse("1X").expect_err("none").contains("64M"));
        assert_eq!(
            [10, 1_234, 1_299_999, 3_000_000_000].map(words),
            ["10 B", "1.2 kB", "1.2 MB", "3.0 GB"]
        );
    }
}
