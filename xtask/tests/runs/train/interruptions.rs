//! Runs that are killed or interrupted and resumed, beside one that is not.

use cnn_core::Key;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::support::*;

#[test]
fn the_same_seed_gives_the_same_bytes_at_any_number_of_threads() {
    let bench = Bench::new();
    let weights = |model: &str, threads: &str, seed: &str| {
        let mix = [
            "--cutmix",
            "1",
            "--threads",
            threads,
            "--seed",
            seed,
            "--model",
            model,
            "--accumulate",
            "2",
        ];
        sha256(
            &bench
                .train("threads", 2, &[&RANDOM[..], &mix].concat())
                .join(WEIGHTS[0]),
        )
    };
    for model in ["resnet8_cifar10", "lenet5"] {
        let one = weights(model, "1", "5");
        assert_eq!(weights(model, "2", "5"), one, "{model}: 1 and 2 threads");
        assert_eq!(weights(model, "3", "5"), one, "{model}: 1 and 3 threads");
        assert_ne!(weights(model, "1", "6"), one, "{model}: another seed");
    }
}

/// When a run is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// After this share of the time that an uninterrupted run takes.
    Share(f64),
    /// After this share, as soon as a checkpoint is being written.
    Writing(f64),
}

/// A run that is killed and resumed, beside one that is not.
struct Kills {
    bench: Bench,
    /// Arguments beyond those of every run.
    more: Vec<&'static str>,
    expected: BTreeMap<&'static str, String>,
    takes: Duration,
    hits: usize,
    writing: usize,
}

impl Kills {
    const EPOCHS: usize = 6;
    const AVERAGED: [&str; 2] = ["--ema", "0.9"];
    /// Some three hundredths of a second, so that states within an epoch are among those gone on
    /// from.
    const OFTEN: [&str; 2] = ["--save-every", "0.0005"];

    fn new(more: &[&'static str]) -> Self {
        let bench = Bench::new();
        let since = Instant::now();
        let more = [&RANDOM[..], &Self::AVERAGED, more].concat();
        let run = bench.train("reference", Self::EPOCHS, &more);
        let expected = outcome(&run);
        Self {
            takes: since.elapsed(),
            bench,
            more,
            expected,
            hits: 0,
            writing: 0,
        }
    }

    /// Starts a run, kills it at each of the moments, resuming it in between, lets it end and
    /// compares.
    fn trial(&mut self, number: usize, moments: &[Moment]) {
        let out = format!("killed-{number}");
        let mut arguments = self.bench.arguments(&out, Self::EPOCHS);
        let more = [&self.more[..], &Self::OFTEN].concat();
        arguments.extend(more.into_iter().map(String::from));
        let out = PathBuf::from(self.bench.path(&out));
        for moment in moments {
            self.kill(start(&strs(&arguments)), &out, *moment);
            if let Some(run) = run_in(&out).filter(|run| run.join("args.toml").exists()) {
                let run = text(&run);
                let resumed = ["train", "--resume", &run, "--threads", "1"];
                let resumed = [&resumed[..], &Self::OFTEN].concat();
                arguments = resumed.into_iter().map(String::from).collect();
            } else {
                let _ = std::fs::remove_dir_all(&out);
            }
        }
        succeeds(&strs(&arguments));
        same(
            &run_in(&out).unwrap(),
            &self.expected,
            &format!("trial {number}, {moments:?}"),
        );
    }

    fn kill(&mut self, mut child: Child, out: &Path, moment: Moment) {
        let (Moment::Share(share) | Moment::Writing(share)) = moment;
        std::thread::sleep(self.takes.mul_f64(share));
        // What is larger than a page is a checkpoint: arguments and configurations are written in
        // the same way.
        let is_checkpoint =
            |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.len() > 4096);
        let half_written =
            || run_in(out).is_some_and(|run| temporaries(&run).iter().any(is_checkpoint));
        let writing = matches!(moment, Moment::Writing(_)) && reached(&mut child, half_written);
        child.kill().unwrap();
        let answer = Answer::from(child.wait_with_output().unwrap());
        assert!(
            matches!(answer.status, 0 | -9),
            "{moment:?}: {}\n{}",
            answer.status,
            answer.stderr
        );
        self.hits += usize::from(answer.status == -9);
        self.writing += usize::from(answer.status == -9 && writing && half_written());
    }

    /// Goes on until there were this many kills, and this many that left a half-written file.
    fn until(mut self, hits: usize, writing: usize) {
        let mut rng = Key::new(3).stream("kills").rng();
        let mut share = || rng.below(1000) as f64 / 1000.;
        for trial in 0.. {
            assert!(
                trial < 5 * hits,
                "{} kills, {} while writing",
                self.hits,
                self.writing
            );
            if self.hits >= hits && self.writing >= writing {
                println!(
                    "{} kills, {} while writing, {} trials",
                    self.hits, self.writing, trial
                );
                return;
            }
            if self.writing < writing {
                self.trial(
                    trial,
                    &[Moment::Writing(0.8 * share()), Moment::Share(share())],
                );
            } else {
                self.trial(trial, &[Moment::Share(share()), Moment::Share(share())]);
            }
        }
    }
}

#[test]
fn a_killed_run_resumes_and_ends_in_the_same_bytes() {
    Kills::new(&[]).until(9, 3);
}

#[test]
fn training_under_attack_resumes_to_the_same_bytes() {
    let small = ["--adv-eps", "0.05", "--adv-samples", "8"];
    // What free training keeps from batch to batch, and what the watch of `fast` counts, is saved,
    // too.
    for method in ["free:2", "fast"] {
        let more = [&["--adversarial", method][..], &small].concat();
        Kills::new(&more).until(3, 1);
    }
}

#[test]
#[ignore = "the long form of a_killed_run_resumes_and_ends_in_the_same_bytes"]
fn a_run_killed_twenty_times_resumes_and_ends_in_the_same_bytes() {
    Kills::new(&[]).until(25, 5);
}

#[test]
fn a_run_killed_before_its_first_state_starts_anew() {
    let bench = Bench::new();
    let expected = outcome(&bench.train("reference", 2, &[]));
    for attempt in 0..40 {
        let out = format!("early-{attempt}");
        let mut child = start(&strs(&bench.arguments(&out, 2)));
        let out = PathBuf::from(bench.path(&out));
        reached(&mut child, || {
            run_in(&out).is_some_and(|run| run.join("args.toml").exists())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let run = run_in(&out).unwrap();
        if !run.join(RESUME).exists() {
            succeeds(&["train", "--resume", &text(&run)]);
            return same(&run, &expected, "killed before the first state");
        }
    }
    panic!("no run was killed early enough");
}

/// Starts runs until one could be interrupted while `condition` held for the lines of its events.
fn interrupt_while(bench: &Bench, condition: impl Fn(&[String]) -> bool) -> (PathBuf, Answer) {
    for attempt in 0..10 {
        let out = format!("interrupted-{attempt}");
        let mut arguments = bench.arguments(&out, 5);
        arguments.extend(RANDOM.map(String::from));
        let mut child = start(&strs(&arguments));
        let out = PathBuf::from(bench.path(&out));
        let events = || {
            run_in(&out)
                .map(|run| lines(&run.join("events.jsonl")))
                .unwrap_or_default()
        };
        let in_time = reached(&mut child, || condition(&events()));
        interrupt(&child);
        let still = condition(&events());
        let answer = Answer::from(child.wait_with_output().unwrap());
        if in_time && still {
            return (run_in(&out).unwrap(), answer);
        }
    }
    panic!("the moment was missed every time");
}

/// Interrupts a run, resumes it as it says, and compares.
fn interrupted(condition: impl Fn(&[String]) -> bool) {
    let bench = Bench::new();
    let expected = outcome(&bench.train("reference", 5, &RANDOM));
    let (run, answer) = interrupt_while(&bench, condition);
    assert_eq!(answer.status, 130, "{}", answer.stderr);
    assert_eq!(answer.stdout, "", "interrupted");
    let (_, command) = answer
        .stderr
        .split_once("cargo xtask train ")
        .expect("the command that resumes");
    let words: Vec<&str> = command
        .split('`')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(
        words[..2],
        ["--resume", run.to_str().unwrap()],
        "{}",
        answer.stderr
    );
    assert!(
        lines(&run.join("events.jsonl")).len() < expected["events.jsonl"].lines().count(),
        "it went on to the end"
    );
    succeeds(&[&["train"], &words[..2]].concat());
    same(&run, &expected, "interrupted");
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    // After the second of the three updates of the second epoch, with a line that closes the first.
    interrupted(|events| matches!(events.len(), 6..=14));
}

#[test]
fn ctrl_c_during_evaluation() {
    interrupted(|events| {
        events
            .iter()
            .filter(|line| line.contains("\"update\""))
            .count()
            == 3
            && events.len() == 3
    });
}
