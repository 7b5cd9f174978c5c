//! What one would do next: the commands that a command prints at its end, and that a report shows.

use std::path::Path;

use crate::output::{self, quoted};

/// A command that goes on from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NextStep {
    /// What it is for, as "see why it decides so".
    pub(crate) purpose: String,
    /// The whole command line.
    pub(crate) command: String,
}

impl NextStep {
    /// The command of this program with these arguments.
    pub(crate) fn new(purpose: &str, arguments: &[&str]) -> Self {
        let words = arguments.iter().map(|argument| quoted(argument));
        let command = std::iter::once(output::program().to_string()).chain(words).collect::<Vec<_>>().join(" ");
        Self { purpose: purpose.to_string(), command }
    }
}

/// What to do with a run that ended, which is in this directory.
pub(crate) fn after_run(directory: &Path) -> Vec<NextStep> {
    let directory = directory.display().to_string();
    vec![
        NextStep::new("measure it again", &["evaluate", "--weights", &directory]),
        NextStep::new("classify photos", &["predict", "PHOTOS", "--weights", &directory]),
        NextStep::new("see what a decision rests on", &["explain", "PHOTOS", "--weights", &directory]),
    ]
}

/// Prints the steps for people, on standard error: programs do not read them.
pub(crate) fn print(steps: &[NextStep]) {
    for (number, step) in steps.iter().enumerate() {
        let lead = if number == 0 { "next:" } else { "     " };
        eprintln!("{lead} {}  ({})", step.command, step.purpose);
    }
}
