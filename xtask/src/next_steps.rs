//! What one would do next: the commands that a command prints at its end, and that a report shows.

use std::path::Path;

use cnn_models::Kind;

use crate::network_args::NetworkArgs;
use crate::output::{self, quoted};
use crate::training::arguments_path;

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
        let command = std::iter::once(output::program().to_string())
            .chain(words)
            .collect::<Vec<_>>()
            .join(" ");
        Self {
            purpose: purpose.to_string(),
            command,
        }
    }
}

/// What to do with a run that ended, which is in this directory.
pub(crate) fn after_run(kind: Kind, directory: &Path) -> Vec<NextStep> {
    after_run_with(kind, directory, &[])
}

/// The same where these photos are known that it took for something else.
pub(crate) fn after_run_with(kind: Kind, directory: &Path, mistakes: &[String]) -> Vec<NextStep> {
    let run = directory.display().to_string();
    let with_weights = ["--weights", &run];
    let explained: Vec<&str> = match mistakes {
        [] => vec!["PHOTOS"],
        photos => photos.iter().map(String::as_str).collect(),
    };
    let purpose = if mistakes.is_empty() {
        "see what a decision rests on"
    } else {
        "see what its worst mistakes rest on"
    };
    let predicting = match kind {
        Kind::Segmentation => "segment photos",
        Kind::Detection => "find objects in photos",
        _ => "classify photos",
    };
    let mut steps = vec![
        NextStep::new("measure it again", &["evaluate", "--weights", &run]),
        NextStep::new(predicting, &["predict", "PHOTOS", "--weights", &run]),
    ];
    if kind != Kind::Detection {
        let explain = [&["explain"], &explained[..], &with_weights].concat();
        steps.push(NextStep::new(purpose, &explain));
    }
    if kind == Kind::Classification {
        steps.push(NextStep::new(
            "see which of its filters do nothing",
            &["inspect", "--weights", &run],
        ));
    }
    // Written by this program at the run's start; a directory without it has no more to tell.
    let arguments = std::fs::read_to_string(arguments_path(directory))
        .ok()
        .and_then(|text| text.parse().ok());
    steps.extend(
        arguments
            .map(|arguments: toml::Table| of_arguments(&arguments, directory))
            .unwrap_or_default(),
    );
    steps
}

/// What the arguments of a run suggest.
fn of_arguments(arguments: &toml::Table, directory: &Path) -> Vec<NextStep> {
    let text = |key: &str| arguments.get(key).and_then(toml::Value::as_str);
    let run = directory.display().to_string();
    let config = arguments_path(directory).display().to_string();
    vec![match text("strategy") {
        Some("two-phase") => NextStep::new(
            "try another strategy",
            &["finetune", "--config", &config, "--strategy", "gradual"],
        ),
        Some(_) => NextStep::new(
            "try another strategy",
            &["finetune", "--config", &config, "--strategy", "two-phase"],
        ),
        None => NextStep::new(
            "use what it learnt for images of yours",
            &["finetune", "--weights", &run, "--data", "FOLDER"],
        ),
    }]
}

/// What to do once a network named the classes of photos; nothing follows from random weights.
pub(crate) fn after_predictions(photo: &Path, network: &NetworkArgs) -> Vec<NextStep> {
    if network.weights() == "none" {
        return Vec::new();
    }
    let photo = photo.display().to_string();
    vec![NextStep::new(
        "see what that rests on",
        &[&["explain", &photo][..], &network.arguments()].concat(),
    )]
}

/// What to do once a network was measured on a dataset, or on the images of its run; nothing
/// follows from random weights.
pub(crate) fn after_measuring(
    data: Option<&str>,
    split: Option<&str>,
    network: &NetworkArgs,
) -> Vec<NextStep> {
    if network.weights() == "none" {
        return Vec::new();
    }
    let mut inspect = [&["inspect"], &network.arguments()[..]].concat();
    inspect.extend(data.iter().flat_map(|data| ["--data", data]));
    inspect.extend(split.iter().flat_map(|split| ["--split", split]));
    vec![
        NextStep::new(
            "see what a decision rests on",
            &[&["explain", "PHOTOS"][..], &network.arguments()].concat(),
        ),
        NextStep::new("find filters that do nothing", &inspect),
    ]
}

/// What to do with a dataset whose images have this to learn from; `None` where there is nothing.
pub(crate) fn after_survey(data: &str, learnt: Option<Kind>) -> Vec<NextStep> {
    let (tuned, trained): (&[&str], &[&str]) = match learnt {
        None => {
            return vec![NextStep::new(
                "name what is in the images",
                &["predict", data, "--weights", "WEIGHTS"],
            )];
        }
        Some(Kind::Detection) => (&["--task", "detection"], &["--task", "detection"]),
        Some(Kind::Segmentation) => (
            &["--task", "segmentation", "--weights", "CLASSIFIER"],
            &["--task", "segmentation"],
        ),
        Some(_) => (&[], &[]),
    };
    let with = |command, more| [&[command, "--data", data][..], more].concat();
    vec![
        NextStep::new("fine-tune a network on it", &with("finetune", tuned)),
        NextStep::new("train one from scratch", &with("train", trained)),
    ]
}

/// Prints the steps for people, on standard error: programs do not read them.
pub(crate) fn print(steps: &[NextStep]) {
    for (number, step) in steps.iter().enumerate() {
        let lead = if number == 0 { "next:" } else { "     " };
        eprintln!("{lead} {}  ({})", step.command, step.purpose);
    }
}
