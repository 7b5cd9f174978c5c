//! Runs that were interrupted or killed, within an epoch and between two, end in the bytes of whole
//! ones: for every method, with whatever it trains or keeps beside the network.
#![allow(clippy::unwrap_used, clippy::panic)]

mod adaptation;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adaptation::{Outcome, adaptation, config, outcome, target, target_test};
use cnn_train::Notice;
use cnn_transfer::adapt::{Adaptation, AdaptationConfig, METHODS, MethodInfo, Unlabelled};

/// A moment of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// So many updates of an epoch, counted from 1, were made.
    Update { epoch: usize, batch: usize },
    /// An epoch was evaluated and saved.
    Epoch(usize),
}

impl Moment {
    fn of(notice: &Notice<'_>) -> Option<Self> {
        match notice {
            Notice::Update { epoch, batch, .. } => Some(Self::Update {
                epoch: *epoch,
                batch: *batch,
            }),
            Notice::Epoch { record, .. } => Some(Self::Epoch(record.epoch)),
            _ => None,
        }
    }
}

const WITHIN: Moment = Moment::Update { epoch: 1, batch: 3 };
const BETWEEN: Moment = Moment::Epoch(1);
const LATER: Moment = Moment::Update { epoch: 2, batch: 2 };

/// The moments that a run of this method has, which may have one epoch only.
fn moments(info: &MethodInfo, epochs: usize) -> Vec<Moment> {
    match epochs {
        1 => vec![Moment::Update { epoch: 1, batch: 1 }, WITHIN],
        2 => vec![WITHIN, BETWEEN, LATER],
        other => panic!("{}: {other} epochs", info.name),
    }
}

/// Two epochs of four updates, where the method has no length of its own.
fn run<'a>(info: &MethodInfo) -> Adaptation<'a> {
    let config = AdaptationConfig {
        updates: Some(4),
        ..config(info.method)
    };
    let run = adaptation(config, target());
    run.with_test_images(Unlabelled::new(target_test()))
        .unwrap()
}

/// Runs until a moment, if there is one, and to the end else.
fn sitting(info: &MethodInfo, directory: &Path, until: Option<Moment>) -> Option<Outcome> {
    let interrupt = Arc::new(AtomicBool::new(false));
    let flag = interrupt.clone();
    let mut run = run(info)
        .with_interrupt(interrupt)
        .with_listener(move |notice| {
            if until.is_some() && Moment::of(notice) == until {
                flag.store(true, Ordering::Relaxed);
            }
        });
    let summary = run.run(directory).unwrap();
    assert_eq!(
        summary.train.interrupted,
        until.is_some(),
        "{}: {until:?}",
        info.name
    );
    (!summary.train.interrupted).then(|| Outcome::of(&summary, directory))
}

fn assert_same(info: &MethodInfo, what: &str, whole: &Outcome, found: &Outcome) {
    let differences = whole.differences(found);
    assert!(
        differences.is_empty(),
        "{}, {what}: {differences:?}",
        info.name
    );
}

#[test]
fn an_interrupted_run_ends_in_the_same_bytes() {
    for info in METHODS {
        let whole = outcome(run(info));
        let directory = tempfile::tempdir().unwrap();
        for moment in moments(info, whole.predicted.len()) {
            assert!(sitting(info, directory.path(), Some(moment)).is_none());
        }
        let found = sitting(info, directory.path(), None).unwrap();
        assert_same(info, "interrupted", &whole, &found);
        // Again where it had ended: nothing changes.
        let found = sitting(info, directory.path(), None).unwrap();
        assert_same(info, "ended", &whole, &found);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// What a killed process leaves is what the disk holds at that moment: the state that was saved one
/// update before, and logs that have gone on.
#[test]
fn a_killed_run_ends_in_the_same_bytes() {
    for info in METHODS {
        let whole = outcome(run(info));
        let moments = moments(info, whole.predicted.len());
        let directory = tempfile::tempdir().unwrap();
        let left = tempfile::tempdir().unwrap();
        let at = |number: usize| left.path().join(number.to_string());
        let mut run = run(info)
            .with_save_every(Duration::ZERO)
            .with_listener(|notice| {
                let moment = Moment::of(notice);
                if let Some(number) = moments.iter().position(|one| Some(*one) == moment) {
                    copy(directory.path(), &at(number));
                }
            });
        let summary = run.run(directory.path()).unwrap();
        drop(run);
        let found = Outcome::of(&summary, directory.path());
        assert_same(info, "saved after each update", &whole, &found);
        for (number, moment) in moments.iter().enumerate() {
            let found = sitting(info, &at(number), None).unwrap();
            assert_same(info, &format!("killed at {moment:?}"), &whole, &found);
        }
    }
}
