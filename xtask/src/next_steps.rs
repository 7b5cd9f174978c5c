//! What one would do next: the commands that a command prints at its end, and that a report shows.

use std::path::Path;

use crate::args::NetworkArgs;
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

/// What to do once a network named the classes of photos.
pub(crate) fn after_predictions(photo: &Path, network: &NetworkArgs) -> Vec<NextStep> {
    let photo = photo.display().to_string();
    vec![NextStep::new("see what that rests on", &[&["explain", &photo][..], &network.arguments()].concat())]
}

/// What to do once a network was measured on a dataset.
pub(crate) fn after_measuring(data: &str, split: Option<&str>, network: &NetworkArgs) -> Vec<NextStep> {
    let split = split.map(|split| ["--split", split]);
    let split = split.as_ref().map_or(&[][..], |words| &words[..]);
    let inspect = [&["inspect", "--data", data][..], split, &network.arguments()].concat();
    vec![
        NextStep::new("see what a decision rests on", &[&["explain", "PHOTOS"][..], &network.arguments()].concat()),
        NextStep::new("find filters that do nothing", &inspect),
    ]
}

/// What to do with a dataset whose images have labels, or have none.
pub(crate) fn after_survey(data: &str, has_labels: bool) -> Vec<NextStep> {
    match has_labels {
        true => vec![
            NextStep::new("fine-tune a network on it", &["finetune", "--data", data]),
            NextStep::new("train one from scratch", &["train", "--data", data]),
        ],
        false => vec![NextStep::new("name what is in the images", &["predict", data, "--weights", "WEIGHTS"])],
    }
}

/// Prints the steps for people, on standard error: programs do not read them.
pub(crate) fn print(steps: &[NextStep]) {
    for (number, step) in steps.iter().enumerate() {
        let lead = if number == 0 { "next:" } else { "     " };
        eprintln!("{lead} {}  ({})", step.command, step.purpose);
    }
}
