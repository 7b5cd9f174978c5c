//! Numbers as text.

/// Stands for a value that there is not.
pub(crate) const NOTHING: &str = "–";

/// A share in 0..1 as per cent with one decimal; nothing for what is no share by far.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent.is_finite() && percent.abs() < 1e6 {
        format!("{percent:.1}\u{a0}%")
    } else {
        NOTHING.into()
    }
}

/// A whole number with a comma every three digits.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// At most four significant digits, without trailing zeros; a power of ten only where it is shorter
/// to read.
pub(crate) fn number(value: f64) -> String {
    with_digits(value, 4)
}

/// The same with at most three digits, which is enough for a learning rate or a score.
pub(crate) fn short_number(value: f64) -> String {
    with_digits(value, 3)
}

fn with_digits(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".into()
    } else if (1e-4..1e6).contains(&magnitude) {
        let decimals = (digits as i32 - 1 - magnitude.log10().floor() as i32).max(0) as usize;
        let text = format!("{value:.decimals$}");
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').into()
        } else {
            text
        }
    } else {
        let text = format!("{value:.0$e}", digits - 1);
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = if digits.contains('.') {
            digits.trim_end_matches('0').trim_end_matches('.')
        } else {
            digits
        };
        format!("{digits}e{power}")
    }
}

/// A duration in seconds, minutes or hours, two units at most.
pub(crate) fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NOTHING.into();
    }
    if seconds < 59.95 {
        return if seconds < 9.995 {
            format!("{seconds:.2}\u{a0}s")
        } else {
            format!("{seconds:.1}\u{a0}s")
        };
    }
    let whole = seconds.round() as u64;
    let hours = whole / 3600;
    let minutes = whole / 60 % 60;
    let rest = whole % 60;
    if hours == 0 {
        format!("{minutes}\u{a0}min {rest}\u{a0}s")
    } else {
        format!("{hours}\u{a0}h {minutes}\u{a0}min")
    }
}

/// The name, or its beginning and end with "…" between them if it is longer than `most` characters.
pub(crate) fn shortened(name: &str, most: usize) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= most {
        return name.into();
    }
    let head = most / 2;
    let tail = most - most / 2 - 1;
    let head: String = characters[..head].iter().collect();
    let tail: String = characters[characters.len() - tail..].iter().collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.3, "0.3"),
            (0.1 + 0.2, "0.3"),
            (-12.5, "-12.5"),
            (1234.56, "1235"),
            (123456.0, "123456"),
            (0.0005, "0.0005"),
            (0.00012345, "0.0001234"),
            (3.2e-5, "3.2e-5"),
            (1e6, "1e6"),
            (9.99e300, "9.99e300"),
            (f64::NAN, "–"),
            (f64::NEG_INFINITY, "–"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn short_numbers_have_three_digits_at_most() {
        let cases = [
            (1e-3, "0.001"),
            (0.0992656, "0.0993"),
            (2.716e-5, "2.72e-5"),
            (1.0, "1"),
            (0.0, "0"),
        ];
        for (value, expected) in cases {
            assert_eq!(short_number(value), expected);
        }
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let cases = [
            (0.0, "0.00 s"),
            (9.99, "9.99 s"),
            (9.996, "10.0 s"),
            (59.94, "59.9 s"),
            (59.96, "1 min 0 s"),
            (3599.4, "59 min 59 s"),
            (3661.0, "1 h 1 min"),
            (-1.0, "–"),
            (f64::INFINITY, "–"),
        ];
        for (value, expected) in cases {
            assert_eq!(seconds(value).replace('\u{a0}', " "), expected);
        }
    }

    #[test]
    fn counts_have_commas() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (2_223_872, "2,223,872"),
            (12_345, "12,345"),
        ];
        for (number, expected) in cases {
            assert_eq!(count(number), expected);
        }
    }

    #[test]
    fn shares_are_per_cent() {
        assert_eq!(percent(0.93464), "93.5\u{a0}%");
        for no_share in [f64::NAN, f64::MAX, f64::NEG_INFINITY] {
            assert_eq!(percent(no_share), NOTHING);
        }
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("Tagetes", 7), "Tagetes");
        assert_eq!(shortened("ÄÖÜßäöü-flower", 7), "ÄÖÜ…wer");
    }
}
