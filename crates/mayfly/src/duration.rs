//! Lengths of time as people write them: `90s`, `15m`, `24h`, `7d`.

/// Parses a length of time into milliseconds.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no length of time; write 500ms, 90s, 15m, 24h or 7d");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).ok_or_else(wrong)
}

/// Shows milliseconds in the largest unit that they are a whole number of.
pub(crate) fn show_ms(ms: u64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.into_iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_as_shown() {
        for (text, ms) in [("500ms", 500), ("90s", 90_000), ("15m", 900_000), ("7d", 604_800_000)] {
            assert_eq!(parse_ms(text), Ok(ms));
            assert_eq!(show_ms(ms), text);
        }
        assert_eq!(parse_ms("24h"), Ok(86_400_000));
        assert_eq!(show_ms(0), "0ms");
        for text in ["", "15", "m", "-1s", "1 s", "1w", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse_ms(text).is_err(), "{text}");
        }
    }
}
