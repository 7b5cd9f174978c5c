//! What a criterion says of units, layer by layer.

use super::importance::{Importance, Normalization, Reduction};
use crate::Groups;

/// What a criterion says of each unit at each place where it has weights, before the places are put
/// together.
#[derive(Debug, Clone)]
pub struct Scores {
    /// Of each place, units with their scores.
    places: Vec<Vec<(usize, f64)>>,
    units: usize,
    reduction: Reduction,
    normalization: Normalization,
}

impl Scores {
    /// Nothing said of the units of these groups yet.
    pub(super) fn new(groups: &Groups) -> Self {
        Self {
            places: Vec::new(),
            units: groups.units(),
            reduction: Reduction::Mean,
            normalization: Normalization::Mean,
        }
    }

    /// The same with its places put together otherwise; default: their mean.
    #[must_use]
    pub fn with_reduction(self, reduction: Reduction) -> Self {
        Self { reduction, ..self }
    }

    /// The same, made comparable between groups otherwise; default: by the group's mean, and as the
    /// criterion says for [`Lamp`](super::Criterion::Lamp) and
    /// [`Random`](super::Criterion::Random).
    #[must_use]
    pub fn with_normalization(self, normalization: Normalization) -> Self {
        Self {
            normalization,
            ..self
        }
    }

    /// How much each unit matters.
    pub fn importance(&self, groups: &Groups) -> Importance {
        let mut reduced: Vec<Option<f64>> = vec![None; self.units];
        let mut places = vec![0usize; self.units];
        for &(unit, score) in self.places.iter().flatten() {
            places[unit] += 1;
            let so_far = &mut reduced[unit];
            *so_far = Some(match (self.reduction, *so_far) {
                (_, None) => score,
                (Reduction::Max, Some(so_far)) => so_far.max(score),
                (Reduction::Mean | Reduction::Sum, Some(so_far)) => so_far + score,
            });
        }
        if self.reduction == Reduction::Mean {
            for (score, places) in reduced.iter_mut().zip(places) {
                *score = score.map(|score| score / places as f64);
            }
        }
        Importance::of(groups, &reduced, self.normalization)
    }

    /// Adds a place: the scores of positions along an axis; what a unit has several positions for is
    /// the sum of theirs.
    pub(super) fn add_positions(&mut self, units: &[Option<usize>], scores: &[f64]) {
        self.places.push(by_unit(units, scores));
    }

    /// Adds a place.
    pub(super) fn add_units(&mut self, scores: impl Iterator<Item = (usize, f64)>) {
        self.places.push(scores.collect());
    }
}

/// The sums of the scores of each unit's positions, in the order of the units.
pub(super) fn by_unit(units: &[Option<usize>], scores: &[f64]) -> Vec<(usize, f64)> {
    let positions = units.iter().zip(scores);
    let mut found: Vec<(usize, f64)> = positions
        .filter_map(|(unit, &score)| Some(((*unit)?, score)))
        .collect();
    found.sort_by_key(|&(unit, _)| unit);
    found.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    found
}
