//! Runs that are interrupted or killed and resumed, beside one that is not.

use std::path::{Path, PathBuf};

use crate::support::*;

/// What a run is doing.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Features,
    Head,
    AllLayers,
}

impl Moment {
    /// A run in which this takes long enough to be met.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Features => &["--strategy", "head", "--size", "128"],
            Self::Head => &["--head-epochs", "40", "--epochs", "1"],
            Self::AllLayers => &["--epochs", "3", "--ema", "0.9"],
        }
    }

    /// Whether a run is in the midst of it, as its directory tells.
    fn is_now(self, run: &Path) -> bool {
        let events = lines(&run.join("events.jsonl")).len();
        let is_behind = |phase: &str| {
            run.join("phases")
                .join(phase)
                .join("model.safetensors")
                .exists()
        };
        match self {
            Self::Features => run.join("args.toml").exists() && !run.join("events.jsonl").exists(),
            // Each epoch has three updates and a line that closes it.
            Self::Head => (6..=100).contains(&events) && !is_behind("1-head"),
            Self::AllLayers => (3 * 4 + 5..=3 * 4 + 10).contains(&events) && is_behind("1-head"),
        }
    }
}

/// Starts runs until one could be stopped at the moment, by Ctrl-C or for good.
fn stopped(bench: &Bench, moment: Moment, kill: bool) -> (PathBuf, Answer) {
    for attempt in 0..10 {
        let out = format!("stopped-{kill}-{attempt}");
        let mut child = start(&strs(&bench.tuning(&out, moment.arguments())));
        let out = PathBuf::from(bench.path(&out));
        let is_now = || run_in(&out).is_some_and(|run| moment.is_now(&run));
        let met = reached(&mut child, is_now);
        if kill {
            child.kill().unwrap()
        } else {
            interrupt(&child)
        }
        let still = is_now();
        let answer = Answer::from(child.wait_with_output().unwrap());
        if met && still {
            return (run_in(&out).unwrap(), answer);
        }
    }
    panic!("{moment:?} was missed every time");
}

/// Stops a run at the moment, resumes it and compares it with one that was not stopped.
fn resumes_to_the_same_bytes(moment: Moment) {
    let bench = Bench::new();
    let expected = outcome(&run_dir(&bench.tune("reference", moment.arguments())));

    let (run, answer) = stopped(&bench, moment, false);
    assert_eq!(
        (answer.status, &*answer.stdout),
        (130, ""),
        "{}",
        answer.stderr
    );
    assert!(!run.join("summary.json").exists(), "it went on to the end");
    assert!(
        std::fs::read_to_string(run.join("report.html"))
            .unwrap()
            .contains("interrupted")
    );
    let (_, command) = answer
        .stderr
        .split_once("`cargo xtask ")
        .expect("the command that resumes");
    let words: Vec<&str> = command
        .split('`')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        words,
        ["finetune", "--resume", run.to_str().unwrap()],
        "{}",
        answer.stderr
    );
    let summary = json(&words);
    assert_eq!(summary["run_dir"], text(&run));
    same(&run, &expected, "interrupted");

    let (run, answer) = stopped(&bench, moment, true);
    assert_eq!(answer.status, -9, "{}", answer.stderr);
    succeeds(&["finetune", "--resume", &text(&run), "--threads", "2"]);
    same(&run, &expected, "killed");
}

#[test]
fn what_a_killed_process_was_still_writing_is_removed() {
    let bench = Bench::new();
    let (run, _) = stopped(&bench, Moment::Head, true);
    for folder in ["", "last", "best", "phases/1-head"].map(|folder| run.join(folder)) {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(".tmp-half"), "").unwrap();
    }
    // The killed process may have left one of its own.
    assert!(temporaries(&run).len() >= 4);
    succeeds(&["finetune", "--resume", &text(&run)]);
    assert_eq!(temporaries(&run), Vec::<PathBuf>::new());
}

#[test]
fn stopped_while_features_are_computed() {
    resumes_to_the_same_bytes(Moment::Features);
}

#[test]
fn stopped_while_the_head_is_trained() {
    resumes_to_the_same_bytes(Moment::Head);
}

#[test]
fn stopped_while_all_layers_are_trained() {
    resumes_to_the_same_bytes(Moment::AllLayers);
}
