//! What each validator would have chosen.

use cnn_transfer::adapt::VALIDATORS;
use serde::Serialize;

use crate::commands::adapt::runs::EpochOutcome;

/// The epoch that a validator chooses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::commands::adapt) struct Choice {
    pub(in crate::commands::adapt) validator: &'static str,
    /// Counted from 1.
    pub(in crate::commands::adapt) epoch: usize,
    /// The target's accuracy there, in 0 to 1; `None` where it has no labels.
    pub(in crate::commands::adapt) target_top1: Option<f64>,
    /// How much less that is than in the best epoch.
    pub(in crate::commands::adapt) cost: Option<f64>,
}

/// The choice of each validator: the first of the epochs in which it is largest. One that is
/// never a finite number chooses none.
pub(in crate::commands::adapt) fn choices(epochs: &[EpochOutcome]) -> Vec<Choice> {
    let accuracies = epochs.iter().filter_map(|epoch| epoch.target_top1);
    let best = accuracies.reduce(f64::max);
    let choice = |validator: &'static str| {
        let value = |epoch: &EpochOutcome| {
            let mut metrics = epoch.metrics.iter();
            let found = metrics.find(|(name, _)| name == validator);
            found.map(|(_, value)| *value).filter(|x| x.is_finite())
        };
        let with_values = epochs
            .iter()
            .filter_map(|epoch| Some((epoch, value(epoch)?)));
        let largest = with_values.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let (epoch, _) = largest?;
        Some(Choice {
            validator,
            epoch: epoch.epoch,
            target_top1: epoch.target_top1,
            cost: best.zip(epoch.target_top1).map(|(best, top1)| best - top1),
        })
    };
    let validators = VALIDATORS.iter();
    validators.filter_map(|(_, name)| choice(name)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn epoch(epoch: usize, im: f64, target_top1: Option<f64>) -> EpochOutcome {
        EpochOutcome {
            epoch,
            metrics: vec![("source_loss".to_string(), 9.), ("im".to_string(), im)],
            target_top1,
        }
    }

    #[test]
    fn the_first_largest_value_chooses_and_costs_what_the_best_epoch_has_more() {
        let epochs = [
            epoch(1, f64::NAN, Some(0.25)),
            epoch(2, 1.5, Some(0.5)),
            epoch(3, 1.5, Some(0.625)),
            epoch(4, 0.5, Some(0.75)),
        ];
        // The other validators were not logged.
        let expected = Choice {
            validator: "im",
            epoch: 2,
            target_top1: Some(0.5),
            cost: Some(0.25),
        };
        assert_eq!(choices(&epochs), [expected]);
    }

    #[test]
    fn without_labels_a_choice_costs_nothing_that_is_known() {
        let epochs = [epoch(1, 0.1, None), epoch(2, 0.2, None)];
        let [choice] = &choices(&epochs)[..] else {
            panic!("one validator was logged");
        };
        assert_eq!(
            (choice.epoch, choice.target_top1, choice.cost),
            (2, None, None)
        );
    }
}
