//! How strong a corruption is.

use std::fmt;
use std::str::FromStr;

use super::pixels::Pixels;
use crate::Error;

/// A corruption's strength, from 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// All, the weakest first.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// The strength of this number.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not in 1..=5.
    ///
    /// ```
    /// use cnn_robust::corruption::Severity;
    ///
    /// assert_eq!(Severity::new(3)?.level(), 3);
    /// assert!(Severity::new(6).is_err());
    /// # Ok::<(), cnn_robust::Error>(())
    /// ```
    pub fn new(level: u8) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|known| known.0 == level);
        found.ok_or_else(|| Error::argument("severity", level, EXPECTED))
    }

    /// Its number.
    pub fn level(self) -> u8 {
        self.0
    }
}

const EXPECTED: &str = "a whole number from 1 to 5";

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Severity {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let level = text.trim().parse().ok();
        let found = level.and_then(|level| Self::new(level).ok());
        found.ok_or_else(|| Error::argument("severity", text, EXPECTED))
    }
}

/// A corruption's parameters by severity.
pub(super) struct Table<T> {
    /// Those of ImageNet-C.
    pub(super) large: [T; 5],
    /// Those of CIFAR-10-C.
    pub(super) small: [T; 5],
}

impl<T: Copy> Table<T> {
    /// The parameters for an image.
    pub(super) fn of(&self, pixels: &Pixels, severity: Severity) -> T {
        let place = usize::from(severity.0 - 1);
        let parameters = if pixels.is_small() {
            &self.small
        } else {
            &self.large
        };
        parameters[place]
    }
}
