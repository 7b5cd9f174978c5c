//! Which candidates take part in a loss: some of the objects', some of the background's.

use cnn_core::Key;

use super::{Match, check_share};
use crate::Error;

/// The candidates that were drawn, by their numbers in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sampled {
    /// Those that stand for an object.
    pub positives: Vec<usize>,
    /// Those of the background.
    pub negatives: Vec<usize>,
}

/// Draws a number of candidates of an image, of which a share at most stands for objects, as
/// torchvision's `BalancedPositiveNegativeSampler`: `⌊size · positive_fraction⌋` positives, or all if
/// they are fewer, and negatives up to `size` altogether.
///
/// ```
/// use cnn_core::Key;
/// use cnn_layers::detection::{BalancedSampler, Match};
///
/// let mut matches = vec![Match::Background; 90];
/// matches.extend([Match::Object(0), Match::Object(1), Match::Ignored]);
/// let sampler = BalancedSampler::new(8, 0.5)?;
/// // A key for the step and the image: the same key draws the same candidates.
/// let sampled = sampler.sample(&matches, Key::new(0).stream("sampler").at(17));
/// assert_eq!(sampled.positives, [90, 91]);
/// assert_eq!(sampled.negatives.len(), 6);
/// # Ok::<(), cnn_layers::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BalancedSampler {
    size: usize,
    positive_fraction: f64,
}

impl BalancedSampler {
    /// So many candidates of an image, of which at most this share is positive. Faster R-CNN's are
    /// 256 and 0.5 for proposals, 512 and 0.25 for detections.
    ///
    /// # Errors
    /// If the share is not from 0 to 1.
    pub fn new(size: usize, positive_fraction: f64) -> Result<Self, Error> {
        check_share("positive_fraction", positive_fraction)?;
        Ok(Self {
            size,
            positive_fraction,
        })
    }

    /// The candidates drawn, each choice equally likely. Ignored ones are never drawn.
    pub fn sample(&self, matches: &[Match], key: Key) -> Sampled {
        let of_kind = |wanted: fn(&Match) -> bool| -> Vec<usize> {
            let all = matches.iter().enumerate();
            all.filter(|(_, found)| wanted(found))
                .map(|(candidate, _)| candidate)
                .collect()
        };
        let positives = of_kind(|found| matches!(found, Match::Object(_)));
        let negatives = of_kind(|found| matches!(found, Match::Background));
        let most = (self.size as f64 * self.positive_fraction) as usize;
        let positives = drawn(&positives, most, key.stream("positives"));
        let rest = self.size - positives.len();
        Sampled {
            negatives: drawn(&negatives, rest, key.stream("negatives")),
            positives,
        }
    }
}

/// So many of them, or all.
fn drawn(candidates: &[usize], count: usize, key: Key) -> Vec<usize> {
    let mut order = key.rng().permutation(candidates.len());
    order.truncate(count);
    order.sort_unstable();
    order.into_iter().map(|place| candidates[place]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(positives: usize, negatives: usize) -> Vec<Match> {
        let mut matches = vec![Match::Object(3); positives];
        matches.extend(vec![Match::Background; negatives]);
        matches.push(Match::Ignored);
        matches
    }

    #[test]
    fn numbers_are_those_of_torchvision() {
        for (positives, negatives, expected) in [
            (100, 100, (4, 6)),
            (2, 100, (2, 8)),
            (100, 3, (4, 3)),
            (0, 100, (0, 10)),
            (5, 0, (4, 0)),
            (0, 0, (0, 0)),
        ] {
            let sampler = BalancedSampler::new(10, 0.49).unwrap();
            let sampled = sampler.sample(&matches(positives, negatives), Key::new(1));
            let found = (sampled.positives.len(), sampled.negatives.len());
            assert_eq!(found, expected);
            assert!(sampled.positives.is_sorted() && sampled.negatives.is_sorted());
            assert!(sampled.positives.iter().all(|&at| at < positives));
            let of_background = positives..positives + negatives;
            assert!(
                sampled
                    .negatives
                    .iter()
                    .all(|at| of_background.contains(at))
            );
        }
        assert!(BalancedSampler::new(10, 1.5).is_err());
    }

    #[test]
    fn every_candidate_is_drawn_equally_often_and_keys_tell_draws_apart() {
        let sampler = BalancedSampler::new(10, 0.5).unwrap();
        let all = matches(20, 30);
        let mut counts = [0; 50];
        for image in 0..3000 {
            let sampled = sampler.sample(&all, Key::new(5).at(image));
            assert_eq!(sampled, sampler.sample(&all, Key::new(5).at(image)));
            for candidate in sampled.positives.iter().chain(&sampled.negatives) {
                counts[*candidate] += 1;
            }
        }
        // 750 and 500 are expected, with deviations of 24 and 20.
        assert!(counts[..20].iter().all(|count| (640..860).contains(count)));
        assert!(counts[20..].iter().all(|count| (400..600).contains(count)));
    }
}
