//! Hashes that tell whether a file is the one that was meant.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use cnn_core::{ArgumentError, hex};
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::Error;

/// What the content of a file must hash to, in hexadecimal digits of lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checksum(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// All digits of a SHA-256 or its first ones.
    Sha256(String),
    Md5(String),
}

impl Checksum {
    /// A SHA-256 of 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is none.
    pub fn sha256(digits: &str) -> Result<Self, Error> {
        digits_of("sha256", digits, 64..=64).map(|digits| Self(Kind::Sha256(digits)))
    }

    /// The first 8 to 64 digits of a SHA-256, as PyTorch has them in the names of files.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are none.
    pub fn sha256_prefix(digits: &str) -> Result<Self, Error> {
        digits_of("sha256 prefix", digits, 8..=64).map(|digits| Self(Kind::Sha256(digits)))
    }

    /// An MD5 of 32 hexadecimal digits. It tells damage, not malice.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is none.
    pub fn md5(digits: &str) -> Result<Self, Error> {
        digits_of("md5", digits, 32..=32).map(|digits| Self(Kind::Md5(digits)))
    }

    /// The beginning of a SHA-256 in the name of a file of PyTorch's, as in `resnet18-f37072fd.pth`:
    /// eight or more hexadecimal digits between the last hyphen and `.pth` or `.pt`, which are not
    /// a date.
    ///
    /// ```
    /// use cnn_hub::Checksum;
    ///
    /// assert_eq!(Checksum::in_name("resnet18-f37072fd.pth"), Checksum::sha256_prefix("f37072fd").ok());
    /// assert_eq!(Checksum::in_name("net-20240131.pth"), None);
    /// assert_eq!(Checksum::in_name("resnet-18.pth"), None);
    /// ```
    pub fn in_name(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".pth").or(name.strip_suffix(".pt"))?;
        let (_, digits) = stem.rsplit_once('-')?;
        let is_lower = digits.bytes().all(|digit| !digit.is_ascii_uppercase());
        (is_lower && !is_date(digits)).then(|| Self::sha256_prefix(digits).ok())?
    }

    pub(crate) fn of_sha256(hash: &[u8; 32]) -> Self {
        Self(Kind::Sha256(hex(hash)))
    }

    /// Whether it fixes the content, so that a file of any origin may be believed.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.0 {
            Kind::Sha256(digits) => digits.len() == 64,
            Kind::Md5(_) => true,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match &self.0 {
            Kind::Sha256(digits) if digits.len() < 64 => "beginning of its SHA-256",
            Kind::Sha256(_) => "SHA-256",
            Kind::Md5(_) => "MD5",
        }
    }

    pub(crate) fn digits(&self) -> &str {
        match &self.0 {
            Kind::Sha256(digits) | Kind::Md5(digits) => digits,
        }
    }

    /// Something that takes the content piece by piece.
    pub(crate) fn hasher(&self) -> Hasher {
        match &self.0 {
            Kind::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Kind::Md5(_) => Hasher::Md5(Md5::new()),
        }
    }

    /// Whether a hash of the kind of [`Checksum::hasher`] is the one expected.
    pub(crate) fn fits(&self, found: &str) -> bool {
        found.starts_with(self.digits())
    }

    /// Whether the content of a file on the disk hashes to this.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read.
    pub fn fits_file(&self, path: &Path) -> Result<bool, Error> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let mut hasher = self.hasher();
        hash_rest(file, &mut hasher).map_err(|error| Error::io("read", path, error))?;
        Ok(self.fits(&hasher.finish()))
    }
}

fn digits_of(
    name: &'static str,
    digits: &str,
    length: std::ops::RangeInclusive<usize>,
) -> Result<String, Error> {
    let accepted =
        length.contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !accepted {
        let expected = match (length.start(), length.end()) {
            (least, most) if least == most => format!("{most} hexadecimal digits"),
            (least, most) => format!("{least} to {most} hexadecimal digits"),
        };
        return Err(ArgumentError::new(name, digits, expected).into());
    }
    Ok(digits.to_ascii_lowercase())
}

/// Whether eight digits are a day of the years 1900 to 2099.
fn is_date(digits: &str) -> bool {
    let number = |from: usize, to: usize| {
        digits
            .get(from..to)
            .and_then(|part| part.parse::<u32>().ok())
    };
    digits.len() == 8
        && number(0, 4).is_some_and(|year| (1900..2100).contains(&year))
        && number(4, 6).is_some_and(|month| (1..=12).contains(&month))
        && number(6, 8).is_some_and(|day| (1..=31).contains(&day))
}

/// A hash in the making.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Md5(Md5),
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => hex(&hasher.finalize()),
            Self::Md5(hasher) => hex(&hasher.finalize()),
        }
    }
}

/// Feeds what is left of a reader; the number of bytes.
pub(crate) fn hash_rest(mut reader: impl Read, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn hashes_are_those_of_the_standards() {
        let hash = |checksum: Checksum| {
            let mut hasher = checksum.hasher();
            assert_eq!(hash_rest(&b"abc"[..], &mut hasher).unwrap(), 3);
            let found = hasher.finish();
            assert!(checksum.fits(&found), "{found}");
        };
        // FIPS 180-2, appendix B.1, and RFC 1321, A.5.
        hash(
            Checksum::sha256("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD")
                .unwrap(),
        );
        hash(Checksum::sha256_prefix("ba7816bf").unwrap());
        hash(Checksum::md5("900150983cd24fb0d6963f7d28e17f72").unwrap());
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for digits in ["", "ba7816b", "xa7816bf", &"a".repeat(65)] {
            assert!(Checksum::sha256_prefix(digits).is_err(), "{digits}");
        }
        assert!(Checksum::sha256("ba7816bf").is_err() && Checksum::md5("900150").is_err());
    }

    #[test]
    fn names_tell_hashes_but_not_dates_or_numbers() {
        let found = |name: &str| Checksum::in_name(name).map(|hash| hash.digits().to_string());
        for (name, digits) in [
            ("resnet18-f37072fd.pth", "f37072fd"),
            ("a-b-047c8118.pt", "047c8118"),
            ("net-12345678.pth", "12345678"),
            ("net-20241399.pth", "20241399"),
        ] {
            assert_eq!(found(name).as_deref(), Some(digits), "{name}");
        }
        for name in [
            "net.pth",
            "net-20240131.pth",
            "net-18.pth",
            "net-f37072fd.bin",
            "net-F37072FD.pth",
            "net-f37072fdx.pth",
            "f37072fd.pth",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
    }
}
