//! The proof that frozen layers stayed what they were.

use serde::Serialize;

/// What a comparison of the saved file with the file that the run started from has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportFreezeProof {
    /// What was frozen in every phase, as "stem, stage1, running statistics of 3 norms in the
    /// others".
    pub kept: String,
    /// How many tensors that is.
    pub tensors: usize,
    /// How many of them have the same bytes in both files.
    pub unchanged: usize,
    /// The file that the run started from.
    pub source: String,
    /// That file's SHA-256, in hexadecimal.
    pub source_sha256: String,
}
