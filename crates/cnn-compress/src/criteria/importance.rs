//! One number for each unit.

use crate::Groups;

/// How the scores of a unit at several places become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest.
    Max,
}

/// How scores of several groups are made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Normalization {
    /// They are taken as they are.
    None,
    /// As multiples of their group's mean.
    Mean,
    /// As shares of their group's sum.
    Sum,
    /// As shares of their group's largest.
    Max,
    /// As shares of the sum of those of their group that are not smaller (Lee et al. 2021).
    Lamp,
}

/// How much each unit matters: the smaller, the sooner it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    scores: Vec<f64>,
}

impl Importance {
    /// Scores of one's own, one for each unit.
    pub fn from_scores(scores: Vec<f64>) -> Self {
        Self { scores }
    }

    /// The score of each unit, by its number; infinite where the criterion found nothing to look at,
    /// as the scale of a norm that is not there, and such units go last.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    pub(super) fn of(
        groups: &Groups,
        reduced: &[Option<f64>],
        normalization: Normalization,
    ) -> Self {
        let mut scores = vec![f64::INFINITY; reduced.len()];
        for group in groups.groups() {
            let said: Option<Vec<f64>> = reduced[group.numbers()].iter().copied().collect();
            if let Some(said) = said {
                scores[group.numbers()].copy_from_slice(&normalized(&said, normalization));
            }
        }
        Self { scores }
    }
}

fn normalized(scores: &[f64], normalization: Normalization) -> Vec<f64> {
    let sum: f64 = scores.iter().sum();
    let by = match normalization {
        Normalization::None => 1.,
        Normalization::Mean => sum / scores.len().max(1) as f64,
        Normalization::Sum => sum,
        Normalization::Max => scores.iter().copied().fold(0., f64::max),
        Normalization::Lamp => return lamp(scores),
    };
    // Where all are 0, none matters more than another.
    let by = if by == 0. { 1. } else { by };
    scores.iter().map(|score| score / by).collect()
}

fn lamp(scores: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]));
    let mut shares = vec![0.; scores.len()];
    let mut not_smaller = 0.;
    for unit in order {
        not_smaller += scores[unit];
        if not_smaller > 0. {
            shares[unit] = scores[unit] / not_smaller;
        }
    }
    shares
}
