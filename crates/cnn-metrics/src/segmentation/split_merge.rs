//! How far two label images divide an image into the same segments: Rand and information scores.
//!
//! I. Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation algorithms for
//! connectomics", 2015, equations 3 and 6; W. M. Rand, "Objective criteria for the evaluation of
//! clustering methods", 1971.

use std::collections::BTreeMap;

use serde::Serialize;

use super::masks::check_counts;
use crate::Error;

/// A score with its two halves, in 0..1; 1 is best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SplitMerge {
    /// The harmonic mean of `split` and `merge`.
    pub f_score: f64,
    /// Lower the more true segments are split; also called recall.
    pub split: f64,
    /// Lower the more true segments are merged; also called precision.
    pub merge: f64,
}

impl SplitMerge {
    fn of(split: f64, merge: f64) -> Self {
        let sum = split + merge;
        let f_score = if sum > 0.0 {
            2.0 * split * merge / sum
        } else {
            0.0
        };
        Self {
            f_score,
            split,
            merge,
        }
    }
}

/// The foreground-restricted Rand F-score of the ISBI 2012 challenge, `V_rand`, of two label images
/// of one image.
///
/// Only pixels whose true label is not 0 count, `n` of them; let `n_ij` be how many of these have
/// the true label `i` and the predicted label `j`, `t_i` how many have the true label `i`, and `s_j`
/// how many have the predicted label `j`. Each of them whose predicted label is 0, that is a pixel
/// on a predicted border, is a segment of its own. Then
///
/// ```text
/// split = Σ n_ij² / Σ t_i²     merge = Σ n_ij² / Σ s_j²     f_score = 2 Σ n_ij² / (Σ t_i² + Σ s_j²)
/// ```
///
/// Of two pixels drawn independently (the same one may be drawn twice), `split` is the probability
/// that the prediction joins them given that the truth does, `merge` the reverse.
///
/// # The challenge's score
///
/// The challenge takes both label images from masks of cells and membranes, and thins the predicted
/// borders first:
///
/// ```
/// use cnn_metrics::{connected_components, rand_f_score, thin_borders};
///
/// let cell = 1;
/// let truth = [
///     1, 1, 1, 0, 1, 1, //
///     1, 1, 1, 0, 1, 1,
/// ];
/// let prediction = [
///     1, 0, 0, 0, 0, 1, //
///     1, 0, 0, 0, 0, 1,
/// ];
/// let truth = connected_components(&truth, 2, 6, cell)?;
/// let prediction = connected_components(&prediction, 2, 6, cell)?;
/// let prediction = thin_borders(&prediction, 2, 6)?; // what is left of the border is column 3
/// assert_eq!(rand_f_score(&truth, &prediction)?.f_score, 1.0);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
///
/// With the same two masks that is, by its source, what the challenge's script for Fiji (Trainable
/// Weka Segmentation, `RandError`) computes for one slice. The script does more around it: it tries
/// thresholds of a probability map, by which it also divides the truth, takes the best score, and
/// puts a stack's slices together. scikit-image's `adapted_rand_error` draws two different pixels,
/// `n_ij·(n_ij − 1)` for `n_ij²`, and takes all pixels whose predicted label is 0 for one segment.
///
/// # Errors
///
/// [`Error::PixelCount`] if there are not as many labels of either; [`Error::NoForeground`] if all
/// true labels are 0.
pub fn rand_f_score(truth_labels: &[u32], predicted_labels: &[u32]) -> Result<SplitMerge, Error> {
    let table = Contingency::of(truth_labels, predicted_labels)?;
    let squares = |counts: &mut dyn Iterator<Item = &u64>| -> u128 {
        counts.map(|&count| u128::from(count).pow(2)).sum()
    };
    let alone: u128 = table.alone.values().map(|&count| u128::from(count)).sum();
    let joint = (squares(&mut table.joint.values()) + alone) as f64;
    let truth = squares(&mut table.truth.values()) as f64;
    let predicted = (squares(&mut table.predicted.values()) + alone) as f64;
    Ok(SplitMerge::of(joint / truth, joint / predicted))
}

/// The foreground-restricted information-theoretic F-score of the ISBI 2012 challenge, `V_info`, of
/// two label images of one image.
///
/// With the counts of [`rand_f_score`], over the same pixels, `H` the entropy of the label of a
/// pixel drawn at random, and `I` the mutual information of its true label `T` and its predicted
/// label `S`,
///
/// ```text
/// split = I(S; T) / H(S)     merge = I(S; T) / H(T)     f_score = 2 I(S; T) / (H(S) + H(T))
/// ```
///
/// A half whose entropy is 0 (one segment) is 1: one segment splits nothing, and of one nothing can
/// be merged. The challenge's script (`VariationOfInformation`) gives the same for one slice, but
/// for an image that has one segment in both: its score is 0 there, here 1.
///
/// # Errors
///
/// As [`rand_f_score`].
///
/// ```
/// // One of two segments of the same size is halved.
/// let score = cnn_metrics::information_f_score(&[1, 1, 2, 2], &[1, 1, 2, 3])?;
/// assert_eq!(score.merge, 1.0);
/// assert!((score.split - 2.0 / 3.0).abs() < 1e-15); // 1 bit of 1.5
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn information_f_score(
    truth_labels: &[u32],
    predicted_labels: &[u32],
) -> Result<SplitMerge, Error> {
    let table = Contingency::of(truth_labels, predicted_labels)?;
    let mut of_truth = Entropies::default();
    for &count in table.truth.values() {
        of_truth.whole += table.surprise(count, table.pixels);
    }
    let mut of_prediction = Entropies::default();
    for &count in table.predicted.values() {
        of_prediction.whole += table.surprise(count, table.pixels);
    }
    for (&(truth, predicted), &count) in &table.joint {
        of_truth.given_other += table.surprise(count, table.predicted[&predicted]);
        of_prediction.given_other += table.surprise(count, table.truth[&truth]);
    }
    // A pixel alone tells its true label, and is one of as many as its true segment has.
    for (truth, &count) in &table.alone {
        let share = count as f64 / table.pixels as f64;
        of_prediction.whole += share * (table.pixels as f64).ln();
        of_prediction.given_other += share * (table.truth[truth] as f64).ln();
    }
    Ok(SplitMerge::of(
        of_prediction.share_known(),
        of_truth.share_known(),
    ))
}

/// The entropy of a label, in nats, and what is left of it where the other label is known.
#[derive(Default)]
struct Entropies {
    whole: f64,
    given_other: f64,
}

impl Entropies {
    fn share_known(&self) -> f64 {
        if self.whole > 0.0 {
            (1.0 - self.given_other / self.whole).max(0.0)
        } else {
            1.0
        }
    }
}

/// How the foreground's pixels fall on pairs of labels.
#[derive(Default)]
struct Contingency {
    pixels: u64,
    joint: BTreeMap<(u32, u32), u64>,
    truth: BTreeMap<u32, u64>,
    predicted: BTreeMap<u32, u64>,
    /// Pixels without a predicted segment, by true label.
    alone: BTreeMap<u32, u64>,
}

impl Contingency {
    fn of(truth_labels: &[u32], predicted_labels: &[u32]) -> Result<Self, Error> {
        check_counts(predicted_labels.len(), truth_labels.len())?;
        let mut table = Self::default();
        let same_pair = |first: &(&u32, &u32), second: &(&u32, &u32)| first == second;
        let pairs: Vec<_> = truth_labels.iter().zip(predicted_labels).collect();
        for run in pairs.chunk_by(same_pair) {
            let (&truth, &predicted) = run[0];
            if truth != 0 {
                table.add(truth, predicted, run.len() as u64);
            }
        }
        if table.pixels == 0 {
            return Err(Error::NoForeground {
                pixels: truth_labels.len(),
            });
        }
        Ok(table)
    }

    fn add(&mut self, truth: u32, predicted: u32, count: u64) {
        self.pixels += count;
        *self.truth.entry(truth).or_default() += count;
        if predicted == 0 {
            *self.alone.entry(truth).or_default() += count;
        } else {
            *self.predicted.entry(predicted).or_default() += count;
            *self.joint.entry((truth, predicted)).or_default() += count;
        }
    }

    /// What `count` pixels of a group of `of` add to an entropy.
    fn surprise(&self, count: u64, of: u64) -> f64 {
        count as f64 / self.pixels as f64 * (of as f64 / count as f64).ln()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::random::Draws;

    fn labels(seed: u64, pixels: usize, bound: u64) -> Vec<u32> {
        let mut draws = Draws::new(seed, bound);
        (0..pixels).map(|_| draws.below(bound) as u32).collect()
    }

    /// Every pair of pixels looked at, each pixel with itself too.
    fn pair_counting(truth: &[u32], predicted: &[u32]) -> SplitMerge {
        let counts = |pixel: &usize| truth[*pixel] != 0;
        let foreground: Vec<usize> = (0..truth.len()).filter(counts).collect();
        let mut joined_by_truth = 0.0;
        let mut joined_by_prediction = 0.0;
        let mut joined_by_both = 0.0;
        for &one in &foreground {
            for &other in &foreground {
                let by_truth = truth[one] == truth[other];
                let by_prediction =
                    one == other || (predicted[one] != 0 && predicted[one] == predicted[other]);
                joined_by_truth += f64::from(u8::from(by_truth));
                joined_by_prediction += f64::from(u8::from(by_prediction));
                joined_by_both += f64::from(u8::from(by_truth && by_prediction));
            }
        }
        let split = joined_by_both / joined_by_truth;
        let merge = joined_by_both / joined_by_prediction;
        SplitMerge {
            f_score: 2.0 / (1.0 / split + 1.0 / merge),
            split,
            merge,
        }
    }

    fn assert_equal(one: SplitMerge, other: SplitMerge) {
        for (one, other) in [
            (one.f_score, other.f_score),
            (one.split, other.split),
            (one.merge, other.merge),
        ] {
            assert!((one - other).abs() < 1e-14, "{one} {other}");
        }
    }

    #[test]
    fn equals_counting_pairs() {
        for (seed, bounds) in (0..).zip([(3, 4), (9, 2), (2, 9), (1000, 5), (5, 1000), (4, 1)]) {
            let mut truth = labels(seed, 211, bounds.0);
            truth[0] = 1;
            let predicted = labels(seed + 50, 211, bounds.1);
            assert_equal(
                rand_f_score(&truth, &predicted).unwrap(),
                pair_counting(&truth, &predicted),
            );
        }
    }

    #[test]
    fn the_same_segments_score_one_whatever_their_numbers() {
        for bound in [2, 5, 300] {
            let truth = labels(1, 400, bound);
            let renumbered: Vec<u32> = truth.iter().map(|label| u32::MAX - 7 * label).collect();
            for score in [
                rand_f_score(&truth, &renumbered).unwrap(),
                information_f_score(&truth, &renumbered).unwrap(),
            ] {
                assert_eq!((score.f_score, score.split, score.merge), (1.0, 1.0, 1.0));
            }
        }
    }

    #[test]
    fn splitting_and_merging_are_told_apart() {
        let two = [0, 1, 1, 2, 2, 0];
        let four = [9, 1, 2, 3, 4, 9];
        let one = [5; 6];
        for score in [rand_f_score, information_f_score] {
            let split = score(&two, &four).unwrap();
            assert!(split.merge == 1.0 && split.split < 1.0, "{split:?}");
            let merged = score(&two, &one).unwrap();
            assert!(merged.split == 1.0 && merged.merge < 1.0, "{merged:?}");
            // A predicted border is as good as a segment for each of its pixels.
            assert_eq!(score(&two, &[0; 6]).unwrap(), split);
        }
        let information = information_f_score(&two, &one).unwrap();
        assert_eq!((information.merge, information.f_score), (0.0, 0.0));
    }

    #[test]
    fn bad_input_is_an_error() {
        for score in [rand_f_score, information_f_score] {
            assert_eq!(
                score(&[1, 2], &[1]).unwrap_err().to_string(),
                "1 predicted pixels for 2 of the truth, expected as many of either"
            );
            assert_eq!(
                score(&[0, 0], &[1, 2]).unwrap_err().to_string(),
                "the truth has no segment in 2 pixels, expected a label other than 0 in at least 1"
            );
            assert_eq!(score(&[], &[]), Err(Error::NoForeground { pixels: 0 }));
        }
    }
}
