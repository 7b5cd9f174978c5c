//! A file beside the report.

use serde::Serialize;

/// A file or folder of the run to which the page links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileLink {
    /// Its path relative to the page, with `/` between its parts.
    pub path: String,
    /// What is in it.
    pub about: String,
}
