//! What made a page, and when.

use std::time::{SystemTime, UNIX_EPOCH};

/// Program, version and the present time, as "cnn 0.1.0, 2026-11-28 17:20 UTC".
pub(crate) fn byline() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    format!(
        "{} {}, {}",
        env!("CARGO_BIN_NAME"),
        env!("CARGO_PKG_VERSION"),
        utc(seconds)
    )
}

/// A time in seconds since 1970 as date and minute.
fn utc(seconds: u64) -> String {
    let days = seconds / 86_400;
    let minutes = seconds / 60 % 1_440;
    // Years that begin in March end with the day that leap years add (H. Hinnant,
    // "chrono-compatible low-level date algorithms"); 719,468 days lie between 0000-03-01 and 1970.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        minutes / 60,
        minutes % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // date -u -d @SECONDS +'%F %R UTC'
    #[test]
    fn times_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59 UTC"),
            (1_795_886_430, "2026-11-28 17:20 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(utc(seconds), expected);
        }
    }
}
