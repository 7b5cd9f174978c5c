//! What was trained, validated and tested on.

use serde::Serialize;

/// One part of the data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DataPart {
    /// What it was for: "training", "validation", "test".
    pub name: String,
    /// Number of images.
    pub images: usize,
    /// What is the same for the same images under the same classes and for no others, such as a
    /// SHA-256 in hexadecimal.
    pub fingerprint: String,
}
