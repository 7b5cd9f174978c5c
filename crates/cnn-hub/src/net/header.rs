//! The values of headers that servers send, each checked before it is believed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longer tags are no hashes, and would not do as file names.
const LONGEST_TAG: usize = 128;

/// The commit of a hub's repository: 40 hexadecimal digits in lower case.
pub(crate) fn commit(value: &str) -> Option<String> {
    let value = value.trim();
    let is_commit = value.len() == 40 && value.bytes().all(is_lower_hex);
    is_commit.then(|| value.to_string())
}

/// The tag by which a blob is stored: without quotes and the mark of weak tags, as
/// `huggingface_hub` has it, and only if it can be the name of a file on any system.
pub(crate) fn blob_name(etag: &str) -> Option<String> {
    let tag = etag.trim().trim_start_matches(['W', '/']).trim_matches('"');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let accepted = (1..=LONGEST_TAG).contains(&tag.len())
        && tag.bytes().all(is_name)
        && !tag.starts_with('.')
        && !tag.ends_with('.');
    accepted.then(|| tag.to_string())
}

/// The SHA-256 that a blob's name is, where it is one: 64 hexadecimal digits.
pub(crate) fn sha256(blob_name: &str) -> Option<[u8; 32]> {
    let digits = blob_name.as_bytes();
    if digits.len() != 64 || !digits.iter().copied().all(is_lower_hex) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(blob_name.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// A tag that `If-Range` may be asked with: a strong one.
pub(crate) fn strong_tag(etag: &str) -> Option<String> {
    let tag = etag.trim();
    let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_tag = |byte: u8| byte == 0x21 || (0x23..0x7f).contains(&byte);
    (tag.len() <= LONGEST_TAG && inner.bytes().all(is_tag)).then(|| tag.to_string())
}

/// A number of bytes.
pub(crate) fn size(value: &str) -> Option<u64> {
    let value = value.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().ok()).flatten()
}

/// What a `Content-Range` header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The first byte that is sent; none in the answer to a range that cannot be had.
    pub(crate) first: Option<u64>,
    /// The size of the whole file, where it is known.
    pub(crate) total: Option<u64>,
}

/// `bytes 10-99/100`, `bytes 10-99/*` or `bytes */100`.
pub(crate) fn content_range(value: &str) -> Option<ContentRange> {
    let value = value.trim();
    let (unit, rest) = value.split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, total) = rest.trim().split_once('/')?;
    let total = match total.trim() {
        "*" => None,
        total => Some(size(total)?),
    };
    if range.trim() == "*" {
        return total.map(|total| ContentRange {
            first: None,
            total: Some(total),
        });
    }
    let (first, last) = range.split_once('-')?;
    let first = size(first)?;
    let last = size(last)?;
    let within = first <= last && total.is_none_or(|total| last < total);
    within.then_some(ContentRange {
        first: Some(first),
        total,
    })
}

/// How long a server asks to wait: the seconds or the date of `Retry-After`.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = size(value) {
        return Some(Duration::from_secs(seconds));
    }
    let date = UNIX_EPOCH.checked_add(Duration::from_secs(http_date(value.trim())?))?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// How long the hub's `RateLimit` header asks to wait: `"api";r=0;t=55` is 55 seconds where nothing
/// remains.
pub(crate) fn rate_limit_reset(value: &str) -> Option<Duration> {
    let field = |name: char| {
        let mut fields = value.split(';').map(str::trim);
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    (size(field('r')?)? == 0).then_some(())?;
    Some(Duration::from_secs(size(field('t')?)?))
}

/// The seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(value: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, date) = value.split_once(", ")?;
    let mut parts = date.split(' ');
    let mut next = || parts.next();
    let day = size(next()?)?;
    let month = next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year = size(next()?)?;
    let mut time = next()?.split(':').map(size);
    let mut next_of_time = || time.next().flatten();
    let [hour, minute, second] = [next_of_time()?, next_of_time()?, next_of_time()?];
    let plausible = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && hour < 24
        && minute < 60
        && second <= 60;
    if next()? != "GMT" || !plausible {
        return None;
    }
    // The days before a date of the Gregorian calendar whose years begin in March.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day - 1;
    const DAYS_BEFORE_1970: u64 = 719_468;
    let days = days.checked_sub(DAYS_BEFORE_1970)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const COMMIT: &str = "5c5a9e6b2c1de7aa2bb1ea9a1a2b3c4d5e6f7089";

    #[test]
    fn what_becomes_a_file_name_cannot_lead_elsewhere() {
        assert_eq!(blob_name("\"abc\"").as_deref(), Some("abc"));
        assert_eq!(blob_name("W/\"abc-1\"").as_deref(), Some("abc-1"));
        for tag in [
            "", "\"\"", "\"../x\"", "\"a/b\"", "\"a\\b\"", "\"..\"", "\".x\"", "\"a\0\"",
            "\"con:\"", "\"x.\"",
        ] {
            assert_eq!(blob_name(tag), None, "{tag:?}");
        }
        assert_eq!(blob_name(&"a".repeat(129)), None);
        assert_eq!(commit(COMMIT).as_deref(), Some(COMMIT));
        for value in [
            "",
            "main",
            "../../../../etc/passwd",
            &COMMIT[1..],
            &COMMIT.to_uppercase(),
            &format!("{}/", &COMMIT[1..]),
        ] {
            assert_eq!(commit(value), None, "{value}");
        }
    }

    #[test]
    fn ranges_are_read_and_nonsense_is_not() {
        let range = |first, total| Some(ContentRange { first, total });
        assert_eq!(content_range("bytes 10-99/100"), range(Some(10), Some(100)));
        assert_eq!(content_range("Bytes 10-99/*"), range(Some(10), None));
        assert_eq!(content_range("bytes */100"), range(None, Some(100)));
        for value in [
            "",
            "bytes",
            "bytes 10-9/100",
            "bytes 10-100/100",
            "bytes -1-2/3",
            "bytes a-b/c",
            "bytes */*",
            "lines 1-2/3",
            "bytes 1-2/99999999999999999999",
        ] {
            assert_eq!(content_range(value), None, "{value}");
        }
    }

    #[test]
    fn waiting_is_told_in_seconds_or_as_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now),
            Some(Duration::from_secs(60))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:40:37 GMT", now),
            Some(Duration::ZERO)
        );
        for value in [
            "",
            "-1",
            "soon",
            "Sun, 06 Nov 1994 25:50:37 GMT",
            "Sun, 06 Now 1994 08:50:37 GMT",
        ] {
            assert_eq!(retry_after(value, now), None, "{value}");
        }
        assert_eq!(
            rate_limit_reset("\"api\";r=0;t=55"),
            Some(Duration::from_secs(55))
        );
        assert_eq!(rate_limit_reset("\"api\";r=7;t=55"), None);
        // `date --date='2028-02-29 23:59:59 UTC' +%s`
        assert_eq!(
            http_date("Tue, 29 Feb 2028 23:59:59 GMT"),
            Some(1_835_481_599)
        );
    }

    #[test]
    fn hashes_and_strong_tags() {
        assert_eq!(sha256(&"0a".repeat(32)), Some([0x0a; 32]));
        assert_eq!(sha256(&"0A".repeat(32)), None);
        assert_eq!(sha256("é".repeat(32).as_str()), None);
        assert_eq!(strong_tag("\"a b\""), None);
        assert_eq!(strong_tag("W/\"a\""), None);
        assert_eq!(strong_tag("\"a-7\"").as_deref(), Some("\"a-7\""));
        assert_eq!(size("+1"), None);
    }

    /// Whatever a server sends is read or not, but never a panic.
    #[test]
    fn a_hundred_thousand_mutations_of_headers_do_no_harm() {
        let seeds = [
            "bytes 10-99/100",
            "W/\"0a0a0a0a\"",
            COMMIT,
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "\"api\";r=0;t=55",
            "https://cdn.test:443/a/b?c=d",
            "//cdn.test/x",
            "18446744073709551615",
        ];
        let base = crate::net::Url::parse("https://hub.test/a/b").unwrap();
        let mut rng = cnn_core::Key::new(14).stream("headers").rng();
        for round in 0..100_000 {
            let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len().max(1) as u64) as usize;
                match rng.below(4) {
                    0 if at < bytes.len() => bytes[at] = rng.below(256) as u8,
                    1 => bytes.insert(at.min(bytes.len()), rng.below(256) as u8),
                    2 if at < bytes.len() => drop(bytes.remove(at)),
                    _ => bytes.extend_from_within(..at.min(bytes.len())),
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            if let Some(name) = blob_name(&text) {
                assert!(!name.contains(['/', '\\']) && name != "..", "{name}");
            }
            let _ = (commit(&text), strong_tag(&text), size(&text), sha256(&text));
            let _ = (
                content_range(&text),
                rate_limit_reset(&text),
                retry_after(&text, UNIX_EPOCH),
            );
            if let Ok(url) = base.join(&text) {
                assert!(["http", "https"].contains(&url.scheme()), "{text}");
                let _ = (
                    url.file_name(),
                    url.is_loopback(),
                    url.same_origin(&base),
                    url.to_string(),
                );
            }
        }
    }
}
