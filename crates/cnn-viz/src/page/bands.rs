//! Phases as bands behind the curves.

use crate::{Error, ReportPhase};

/// Fails unless phases follow each other.
pub(crate) fn check(phases: &[ReportPhase]) -> Result<(), Error> {
    let mut after = 0;
    for phase in phases {
        let ReportPhase {
            name,
            first_epoch,
            last_epoch,
            ..
        } = phase;
        if *first_epoch <= after || last_epoch < first_epoch {
            let found = format!("`{name}` from epoch {first_epoch} to {last_epoch}");
            return Err(Error::argument(
                "phases",
                found,
                format!("one that begins after epoch {after} and then ends"),
            ));
        }
        after = *last_epoch;
    }
    Ok(())
}

/// What stands over the bands: the names where each has its room, else the phases' numbers.
///
/// `room` is a phase's width in text widths of one character.
pub(crate) fn labels(phases: &[ReportPhase], room: impl Fn(&ReportPhase) -> f64) -> Vec<String> {
    let fits = |phase: &ReportPhase, text: &str| (text.chars().count() + 1) as f64 <= room(phase);
    if phases.iter().all(|phase| fits(phase, &phase.name)) {
        return phases.iter().map(|phase| phase.name.clone()).collect();
    }
    let numbered = phases
        .iter()
        .enumerate()
        .map(|(index, phase)| (phase, (index + 1).to_string()));
    numbered
        .map(|(phase, number)| {
            if fits(phase, &number) {
                number
            } else {
                String::new()
            }
        })
        .collect()
}

/// The epochs of a phase in words.
pub(crate) fn epochs(phase: &ReportPhase) -> String {
    match phase.last_epoch - phase.first_epoch {
        0 => format!("epoch {}", phase.first_epoch),
        _ => format!("epochs {} to {}", phase.first_epoch, phase.last_epoch),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn phase(name: &str, first_epoch: usize, last_epoch: usize) -> ReportPhase {
        ReportPhase {
            name: name.into(),
            first_epoch,
            last_epoch,
            groups: vec![],
        }
    }

    #[test]
    fn phases_follow_each_other() {
        assert!(
            check(&[
                phase("head", 1, 3),
                phase("all", 4, 4),
                phase("later", 9, 10)
            ])
            .is_ok()
        );
        let cases = [
            (
                vec![phase("head", 0, 3)],
                "`phases`: found `head` from epoch 0 to 3, expected one that begins after epoch 0",
            ),
            (
                vec![phase("head", 3, 2)],
                "`phases`: found `head` from epoch 3 to 2, expected one",
            ),
            (
                vec![phase("a", 1, 3), phase("b", 3, 4)],
                "found `b` from epoch 3 to 4, expected one that begins after epoch 3",
            ),
        ];
        for (phases, expected) in cases {
            let message = check(&phases).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn names_give_way_to_numbers_and_these_to_nothing() {
        let phases = [phase("head", 1, 1), phase("all layers", 2, 10)];
        let labels = |per_epoch: f64| {
            labels(&phases, |phase| {
                (phase.last_epoch + 1 - phase.first_epoch) as f64 * per_epoch
            })
        };
        assert_eq!(labels(5.0), ["head", "all layers"]);
        assert_eq!(labels(4.0), ["1", "2"]);
        assert_eq!(labels(1.0), ["", "2"]);
    }
}
