//! What to do after a run.

use serde::Serialize;

/// A command and what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportNextStep {
    /// What it is for, as "see what a decision rests on".
    pub purpose: String,
    /// The whole command line.
    pub command: String,
}
