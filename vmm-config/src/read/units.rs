//! Numbers, ranges, sizes and times in strings.

/// A number: decimal, or hexadecimal after `0x`; `_` may separate digits.
pub(crate) fn number(text: &str) -> Option<u64> {
    let digits = text.trim().replace('_', "");
    match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        None if !digits.starts_with('+') => digits.parse().ok(),
        _ => None,
    }
}

/// `FIRST-LAST` or one number.
pub(crate) fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

const SIZES: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const TIMES_US: [(&str, u64); 3] = [("us", 1), ("ms", 1_000), ("s", 1_000_000)];

/// A size in bytes: `64 MiB`.
///
/// # Errors
/// What to write instead.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    measure(text, &SIZES, "64 MiB")
}

/// A time in microseconds: `10 ms`.
///
/// # Errors
/// What to write instead.
pub(crate) fn time_us(text: &str) -> Result<u64, String> {
    measure(text, &TIMES_US, "10 ms")
}

fn measure(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len()
        - text
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '_')
            .len();
    let (count, unit) = (&text[..digits], text[digits..].trim());
    let Some(count) = number(count) else {
        return Err(format!(
            "write a whole number and a unit, as in `{example}`"
        ));
    };
    if let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) {
        return count
            .checked_mul(*factor)
            .ok_or_else(|| "write a smaller number".to_owned());
    }
    let near = units.iter().find(|(name, _)| {
        let initial = |word: &str| word.chars().next().map(|c| c.to_ascii_lowercase());
        initial(name) == initial(unit)
    });
    Err(match near {
        Some((name, _)) => format!("did you mean `{count} {name}`?"),
        None => {
            let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
            format!(
                "write {} behind the number, as in `{example}`",
                crate::near::list(&names)
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(number("244"), Some(244));
        assert_eq!(number("0xf4"), Some(244));
        assert_eq!(number("0xc000_0103"), Some(0xc000_0103));
        for bad in [
            "",
            "f4",
            "-1",
            "+1",
            "0x",
            "0x+1",
            "1.5",
            "99999999999999999999",
        ] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_range_ascends() {
        assert_eq!(range("0x220-0x22f"), Some((0x220, 0x22f)));
        assert_eq!(range("0x220 - 0x22f"), Some((0x220, 0x22f)));
        assert_eq!(range("7"), Some((7, 7)));
        assert_eq!(range("9-7"), None);
        assert_eq!(range("7-"), None);
        assert_eq!(range("1-2-3"), None);
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("64 MiB"), Ok(64 << 20));
        assert_eq!(size("4KiB"), Ok(4096));
        assert_eq!(size("64 MB"), Err("did you mean `64 MiB`?".to_owned()));
        assert!(size("64").is_err() && size("MiB").is_err() && size("1.5 GiB").is_err());
        assert!(size("18446744073709551615 GiB").is_err());
    }

    #[test]
    fn times_are_counted_in_microseconds() {
        assert_eq!(time_us("10 ms"), Ok(10_000));
        assert_eq!(time_us("1 s"), Ok(1_000_000));
        assert_eq!(time_us("3 sec"), Err("did you mean `3 s`?".to_owned()));
    }
}
