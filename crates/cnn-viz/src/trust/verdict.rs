//! What the checks say, in words, and the rules by which a map passes or fails them.

use serde::Serialize;

use super::Trust;

/// A map passes if insertion gives at least this many times what deletion leaves.
const LEAST_INSERTION: f64 = 2.;
/// A map passes if it gets at least this by ROAD.
const LEAST_ROAD: f64 = 0.05;
/// A map passes if its correlations with the maps of networks with random weights have a median
/// below this.
const MOST_CORRELATION: f64 = 0.5;

/// A check that a map passes or fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustCheck {
    /// Whether the class's probability rises with the pixels that the map marks and falls without
    /// them.
    InsertionDeletion,
    /// Whether it falls more when the marked pixels are replaced by their surroundings than when
    /// the others are.
    Road,
    /// Whether the map changes when layers get random weights.
    Randomization,
}

impl TrustCheck {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::InsertionDeletion, Self::Road, Self::Randomization];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::InsertionDeletion => "insertion and deletion",
            Self::Road => "ROAD",
            Self::Randomization => "random weights",
        }
    }

    /// What is measured, and from where on a map passes.
    ///
    /// The bounds are conventions, chosen from what the checks mean: a map without information gets
    /// 0 by ROAD, and a correlation of 0.5 means that the ranks of two maps share a quarter of
    /// their variance. The median over the steps of the cascade is taken because the random weights
    /// are one draw, in which a single step may be alike by chance.
    pub fn rule(self) -> String {
        match self {
            Self::InsertionDeletion => format!(
                "The class's mean probability while the pixels that the map marks come into a blurred photo, most important first (insertion), and while they go (deletion). \
                 A map passes if insertion is at least {LEAST_INSERTION} times deletion."
            ),
            Self::Road => format!(
                "Half the difference that it makes to the probability whether the least or the most important pixels are replaced by what surrounds them; chance is 0. \
                 A map passes from {LEAST_ROAD} on."
            ),
            Self::Randomization => format!(
                "The rank correlation with the map of the same network after these layers have lost what they learnt. \
                 A map passes if their median is below {MOST_CORRELATION}; one that stays the same shows something about the photo, not what the network learnt. A single high number may be chance: it is one draw of weights."
            ),
        }
    }
}

/// What a check says about one map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrustVerdict {
    /// The check.
    pub check: TrustCheck,
    /// Whether the map passes by [`TrustCheck::rule`].
    pub passed: bool,
    /// Why, in words and with the numbers.
    pub finding: String,
}

impl Trust {
    /// What each check says, in the order of [`TrustCheck::ALL`]. A number that is not finite
    /// passes nothing.
    ///
    /// ```
    /// use cnn_viz::{Trust, TrustCheck};
    ///
    /// let trust = Trust {
    ///     insertion_auc: 0.8,
    ///     deletion_auc: 0.1,
    ///     road: 0.4,
    ///     randomization: vec![("head".into(), 0.9), ("all layers".into(), 0.6)],
    /// };
    /// let failed: Vec<_> = trust
    ///     .verdicts()
    ///     .into_iter()
    ///     .filter(|verdict| !verdict.passed)
    ///     .collect();
    /// assert_eq!(failed[0].check, TrustCheck::Randomization);
    /// assert_eq!(
    ///     failed[0].finding,
    ///     "it stays much the same with random weights in head (0.90) and all layers (0.60)"
    /// );
    /// ```
    pub fn verdicts(&self) -> Vec<TrustVerdict> {
        let verdict = |check| {
            let (passed, finding) = match check {
                TrustCheck::InsertionDeletion => self.insertion_deletion(),
                TrustCheck::Road => self.road(),
                TrustCheck::Randomization => self.randomization(),
            };
            TrustVerdict {
                check,
                passed,
                finding,
            }
        };
        TrustCheck::ALL.map(verdict).into()
    }

    /// Whether a step of [`Trust::randomization`] speaks for the map.
    pub(crate) fn changes_enough(correlation: f64) -> bool {
        correlation < MOST_CORRELATION
    }

    fn insertion_deletion(&self) -> (bool, String) {
        let insertion = self.insertion_auc;
        let deletion = self.deletion_auc;
        let passed = insertion > 0. && insertion >= LEAST_INSERTION * deletion;
        let with_and_without = format!(
            "{} with what it marks, {} without",
            decimals(insertion),
            decimals(deletion)
        );
        let finding = if passed {
            format!("the score follows it: {with_and_without}")
        } else {
            format!("the score hardly follows it: {with_and_without}")
        };
        (passed, finding)
    }

    fn road(&self) -> (bool, String) {
        let passed = self.road >= LEAST_ROAD;
        let more = if passed { "more" } else { "hardly more" };
        (
            passed,
            format!(
                "replacing what it marks costs {more} than replacing the rest ({})",
                decimals(self.road)
            ),
        )
    }

    fn randomization(&self) -> (bool, String) {
        let mut sorted: Vec<f64> = self.randomization.iter().map(|step| step.1).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
        let median = (middle(sorted.len().saturating_sub(1) / 2) + middle(sorted.len() / 2)) / 2.;
        if Self::changes_enough(median) {
            return (
                true,
                format!(
                    "it changes when layers forget what they learnt (median correlation {})",
                    decimals(median)
                ),
            );
        }
        let same = self
            .randomization
            .iter()
            .filter(|step| !Self::changes_enough(step.1));
        let named: Vec<String> = same
            .map(|(name, correlation)| format!("{name} ({})", decimals(*correlation)))
            .collect();
        let list = match named.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => "any layers".to_string(),
        };
        (
            false,
            format!("it stays much the same with random weights in {list}"),
        )
    }
}

/// Two decimals, without a sign where they are 0.
fn decimals(value: f64) -> String {
    format!("{:.2}", (100. * value).round() / 100. + 0.)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(insertion_auc: f64, deletion_auc: f64, road: f64, correlations: &[f64]) -> Trust {
        let names = ["head", "tail and head", "all layers"];
        let randomization = names
            .iter()
            .zip(correlations)
            .map(|(name, &value)| (name.to_string(), value))
            .collect();
        Trust {
            insertion_auc,
            deletion_auc,
            road,
            randomization,
        }
    }

    fn passed(trust: &Trust) -> [bool; 3] {
        let verdicts = trust.verdicts();
        std::array::from_fn(|at| verdicts[at].passed)
    }

    #[test]
    fn each_bound_divides_what_passes_from_what_fails() {
        let cases = [
            (
                trust(0.66, 0.11, 0.37, &[-0.05, 0.3, 0.49]),
                [true, true, true],
            ),
            // A map that turns round is not the same map.
            (
                trust(0.2, 0.1, 0.05, &[-0.9, -0.9, -0.9]),
                [true, true, true],
            ),
            // One step of one draw may be alike by chance, two are not.
            (
                trust(0.66, 0.11, 0.37, &[-0.35, 0.73, 0.05]),
                [true, true, true],
            ),
            (
                trust(0.19, 0.1, 0.04, &[0.56, 0.3, 0.65]),
                [false, false, false],
            ),
            (trust(0.1, 0.5, -0.3, &[0.1, 0.9]), [false, false, false]),
            (trust(0.1, 0.5, -0.3, &[0.1, 0.8]), [false, false, true]),
            (
                trust(f64::NAN, 0.1, f64::NAN, &[f64::NAN]),
                [false, false, false],
            ),
            (trust(1., 0., 1., &[]), [true, true, false]),
            (trust(0., 0., 0., &[0.]), [false, false, true]),
        ];
        for (trust, expected) in cases {
            assert_eq!(passed(&trust), expected, "{trust:?}");
        }
    }

    #[test]
    fn what_failed_is_named_with_its_number() {
        let finding = |trust: &Trust, check: usize| trust.verdicts()[check].finding.clone();
        let failing = trust(0.23, 0.21, -0.001, &[0.56, 0.3, 0.65]);
        assert_eq!(
            finding(&failing, 0),
            "the score hardly follows it: 0.23 with what it marks, 0.21 without"
        );
        assert_eq!(
            finding(&failing, 1),
            "replacing what it marks costs hardly more than replacing the rest (0.00)"
        );
        assert_eq!(
            finding(&failing, 2),
            "it stays much the same with random weights in head (0.56) and all layers (0.65)"
        );
        let all = trust(0.5, 0.1, 0.2, &[0.9, 0.8, 0.7]);
        assert!(
            finding(&all, 2).ends_with("head (0.90), tail and head (0.80) and all layers (0.70)")
        );
        let passing = trust(0.5, 0.1, 0.2, &[0.1, -0.3]);
        assert_eq!(
            finding(&passing, 2),
            "it changes when layers forget what they learnt (median correlation -0.10)"
        );
    }
}
