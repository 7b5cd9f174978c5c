//! The addresses that are asked: `http` and `https` only, without user names.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

/// An absolute `http` or `https` address with a host.
///
/// Its `Display` leaves out the query, where signed addresses carry their signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url(Uri);

impl Url {
    /// The address, with spaces and letters beyond ASCII percent-encoded; the reason where there is
    /// none in the text.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let encoded = encode_unprintable(text.trim());
        let encoded = encoded.split('#').next().unwrap_or_default();
        let uri: Uri = encoded.parse().map_err(|_| "it is no address")?;
        match uri.scheme_str() {
            Some("http" | "https") => (),
            Some(_) => return Err("its scheme is neither https nor http"),
            None => return Err("it does not begin with https://"),
        }
        let authority = uri.authority().ok_or("it names no host")?;
        if authority.as_str().contains('@') {
            return Err("it carries a user name, which would be told to others");
        }
        if authority.host().is_empty() {
            return Err("it names no host");
        }
        Ok(Self(uri))
    }

    /// What a `Location` header means that was sent from here.
    pub(crate) fn join(&self, location: &str) -> Result<Self, &'static str> {
        let location = location.trim();
        let scheme_end = location.find("://").unwrap_or(usize::MAX);
        let path_end = location.find(['/', '?', '#']).unwrap_or(location.len());
        if scheme_end < path_end {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{}:{location}", self.scheme()));
        }
        let origin = self.origin();
        if location.starts_with('/') {
            return Self::parse(&format!("{origin}{location}"));
        }
        let path = self.0.path();
        if location.starts_with('?') {
            return Self::parse(&format!("{origin}{path}{location}"));
        }
        let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
        Self::parse(&format!("{origin}{folder}{location}"))
    }

    pub(crate) fn scheme(&self) -> &str {
        self.0.scheme_str().unwrap_or_default()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme() == "https"
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    fn port(&self) -> u16 {
        let default = if self.is_https() { 443 } else { 80 };
        self.0.port_u16().unwrap_or(default)
    }

    /// The host with its port where that is not the usual one.
    pub(crate) fn host_and_port(&self) -> String {
        match self.0.port_u16() {
            Some(port) => format!("{}:{port}", self.host()),
            None => self.host().to_string(),
        }
    }

    fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.host_and_port())
    }

    /// Whether scheme, host and port are the same.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.scheme() == other.scheme()
            && self.host().eq_ignore_ascii_case(other.host())
            && self.port() == other.port()
    }

    /// Whether the host is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }

    /// The last component of the path, its percent-encoding undone.
    pub(crate) fn file_name(&self) -> String {
        decode(self.path().rsplit('/').next().unwrap_or_default())
    }

    /// The whole address with its query, for the request itself.
    pub(crate) fn as_uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.origin(), self.path())
    }
}

fn encode_unprintable(text: &str) -> String {
    let is_plain = |byte: &u8| (0x21..0x7f).contains(byte) && !b"\"<>\\^`{|}".contains(byte);
    encode(text, is_plain)
}

/// A path of a repository within an address: all but letters, digits, `-._~` and `/` encoded.
pub(crate) fn encode_path(path: &str) -> String {
    encode(path, |byte| is_unreserved(byte) || *byte == b'/')
}

/// A single component of an address, in which a slash is encoded, too.
pub(crate) fn encode_component(text: &str) -> String {
    encode(text, is_unreserved)
}

fn is_unreserved(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(byte)
}

fn encode(text: &str, is_plain: impl Fn(&u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = text.get(at + 1..at + 3);
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (value, length) = match (byte, code) {
            (b'%', Some(code)) => (code, 3),
            _ => (byte, 1),
        };
        decoded.push(value);
        at += length;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_addresses_of_the_web_without_user_names_are_taken() {
        for text in [
            "https://example.org/a",
            "http://127.0.0.1:80/a?b=c#d",
            "https://example.org",
            "https://example.org/a file/ü",
        ] {
            Url::parse(text).unwrap();
        }
        for text in [
            "",
            "example.org/a",
            "/a",
            "file:///etc/passwd",
            "ftp://example.org/a",
            "https://user:secret@example.org/a",
            "https://",
            "https:///a",
            "https://exa mple.org:port/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn locations_are_meant_from_the_address_that_sent_them() {
        let base = Url::parse("https://hub.test:8443/a/b/c?d=e").unwrap();
        for (location, expected) in [
            ("https://cdn.test/x?sign=1", "https://cdn.test/x?sign=1"),
            ("//cdn.test/x", "https://cdn.test/x"),
            ("/x/y", "https://hub.test:8443/x/y"),
            (
                "x?from=https://z",
                "https://hub.test:8443/a/b/x?from=https://z",
            ),
            ("?q=1", "https://hub.test:8443/a/b/c?q=1"),
        ] {
            let joined = base.join(location).unwrap();
            assert_eq!(joined.as_uri().to_string(), expected, "{location}");
        }
        assert!(base.join("file:///etc/passwd").is_err());
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text| Url::parse(text).unwrap();
        let base = url("https://Hub.test/a");
        assert!(base.same_origin(&url("https://hub.test:443/b")));
        for other in [
            "http://hub.test/a",
            "https://hub.test:8443/a",
            "https://hub.test.evil/a",
            "https://cdn.hub.test/a",
        ] {
            assert!(!base.same_origin(&url(other)), "{other}");
        }
    }

    #[test]
    fn this_machine_is_known_by_name_and_number() {
        let is_loopback = |text| Url::parse(text).unwrap().is_loopback();
        for own in [
            "http://localhost:1/",
            "http://127.0.0.1/",
            "http://127.9.9.9/",
            "http://[::1]:8/",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "http://localhost.evil/",
            "http://128.0.0.1/",
            "http://127.0.0.1.evil/",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[test]
    fn what_is_shown_has_no_signature_and_names_are_decoded() {
        let url =
            Url::parse("https://cdn.test/a%20b/c%C3%BC%2F..%zz.pth?X-Signature=secret").unwrap();
        assert!(!url.to_string().contains("secret"));
        assert_eq!(url.file_name(), "cü/..%zz.pth");
    }
}
