//! The crate's error type, and the error of an argument that all crates share.

use std::io;
use std::path::{Path, PathBuf};

/// An argument is out of its range. The error types of the crates hold it in a variant `Argument`.
///
/// ```
/// use cnn_core::ArgumentError;
///
/// let error = ArgumentError::new("batch_size", 0, "at least 1");
/// assert_eq!(
///     error.to_string(),
///     "`batch_size`: found 0, expected at least 1"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("`{name}`: found {found}, expected {expected}")]
pub struct ArgumentError {
    /// The argument's name.
    pub name: &'static str,
    /// Its value, or what is wrong with it.
    pub found: String,
    /// What would be accepted.
    pub expected: String,
}

impl ArgumentError {
    /// The argument `name` is `found`, and would have to be `expected`.
    pub fn new(name: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self {
            name,
            found: found.to_string(),
            expected: expected.into(),
        }
    }
}

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase: "write", "create directory".
        action: &'static str,
        /// The file or directory that it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A directory stands where a file was to be written.
    #[error("cannot write {}: it is a directory, a file name was expected", path.display())]
    IsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A command or run name that cannot be one component of a path on every system.
    #[error("{role} {name:?} cannot name a directory: {reason}")]
    InvalidName {
        /// Which name: "command" or "run name".
        role: &'static str,
        /// The name that was given.
        name: String,
        /// What is wrong with it and what would be accepted.
        reason: &'static str,
    },
    /// A field of a preprocessing record has a value that no image can be prepared with.
    #[error("preprocessing field `{field}`: found {found}, expected {expected}")]
    InvalidPreprocessing {
        /// The field's name in the record.
        field: &'static str,
        /// Its value, or what is wrong with it.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// More distinct elements were asked for than there are.
    #[error("cannot choose {requested} distinct elements out of {available}, at most {available}")]
    ChoiceTooLarge {
        /// How many were asked for.
        requested: usize,
        /// How many there are.
        available: usize,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
