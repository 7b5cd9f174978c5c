//! Samples that could not be read.

use serde::{Deserialize, Serialize};

use crate::Error;

/// A sample that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The sample's name, as [`Dataset::id`](crate::Dataset::id) gives it.
    pub path: String,
    /// What was wrong with it.
    pub reason: String,
}

impl Skipped {
    /// The sample `path`, left out because of `error`.
    pub fn new(path: impl Into<String>, error: &Error) -> Self {
        Self {
            path: path.into(),
            reason: error.reason(),
        }
    }
}
