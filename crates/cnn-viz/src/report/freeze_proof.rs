//! The proof that frozen layers stayed what they were.

use serde::Serialize;

/// What a comparison of the saved file with the file that the run started from has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FreezeProof {
    /// How many tensors were frozen in every phase.
    pub tensors: usize,
    /// How many of them have the same bytes in both files.
    pub unchanged: usize,
    /// The file that the run started from.
    pub source: String,
    /// That file's SHA-256, in hexadecimal.
    pub source_sha256: String,
}
