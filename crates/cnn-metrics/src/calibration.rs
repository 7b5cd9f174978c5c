//! Whether confidence can be believed.
//!
//! C. Guo et al., "On calibration of modern neural networks", 2017, equations 2, 3 and 5.

use serde::Serialize;

use crate::Error;
use crate::batch::Batch;

/// The number of bins that papers use.
pub const DEFAULT_BINS: usize = 15;

const MAX_BINS: usize = 1 << 20;

/// The expected calibration error in `bins` bins of equal width ([`DEFAULT_BINS`] to compare with
/// papers): [`Reliability::ece`] of these samples.
///
/// # Shapes
///
/// `logits`: `labels.len() · classes`, row-major.
///
/// # Errors
///
/// [`Error::NoSamples`], and those of [`Reliability::new`] and [`Reliability::update`].
///
/// ```
/// use cnn_metrics::{DEFAULT_BINS, expected_calibration_error};
///
/// // Certain twice, right once.
/// let logits = [99.0, 0.0, 99.0, 0.0];
/// assert_eq!(
///     expected_calibration_error(&logits, 2, &[0, 1], DEFAULT_BINS)?,
///     0.5
/// );
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn expected_calibration_error(
    logits: &[f32],
    classes: usize,
    labels: &[u32],
    bins: usize,
) -> Result<f64, Error> {
    let mut reliability = Reliability::new(bins)?;
    reliability.update(logits, classes, labels)?;
    reliability.ece()
}

/// The reliability diagram: accuracy against confidence in bins of equal width, gathered batch by
/// batch.
///
/// A sample's confidence is the probability of its predicted class; bin `i` of `n` holds those in
/// `(i/n, (i+1)/n]`.
///
/// ```
/// use cnn_metrics::Reliability;
///
/// let mut reliability = Reliability::new(10)?;
/// reliability.update(&[3f32.ln(), 0.0, 3f32.ln(), 0.0], 2, &[0, 1])?; // 75 % sure of class 0, right once of twice
/// assert_eq!(reliability.bins()[7].samples, 2);
/// assert_eq!(reliability.bins()[7].accuracy, Some(0.5));
/// assert!((reliability.mean_confidence()? - 0.75).abs() < 1e-7);
/// assert!((reliability.ece()? - 0.25).abs() < 1e-7);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    bins: Vec<BinSums>,
}

/// One bar of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// The confidence above which the bin begins.
    pub lower: f64,
    /// The confidence up to which the bin reaches, including it.
    pub upper: f64,
    /// How many samples have such a confidence.
    pub samples: u64,
    /// Their mean confidence; `None` without samples.
    pub confidence: Option<f64>,
    /// The share of them that were predicted right; `None` without samples.
    pub accuracy: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct BinSums {
    samples: u64,
    correct: u64,
    confidence: f64,
}

impl BinSums {
    /// |accuracy − confidence| times the number of samples.
    fn total_gap(&self) -> f64 {
        (self.correct as f64 - self.confidence).abs()
    }
}

/// An empty diagram of [`DEFAULT_BINS`].
impl Default for Reliability {
    fn default() -> Self {
        Self {
            bins: vec![BinSums::default(); DEFAULT_BINS],
        }
    }
}

impl Reliability {
    /// An empty diagram.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] unless `bins` is 1 to 2²⁰.
    pub fn new(bins: usize) -> Result<Self, Error> {
        if !(1..=MAX_BINS).contains(&bins) {
            return Err(Error::argument("bins", bins, "1 to 1048576"));
        }
        Ok(Self {
            bins: vec![BinSums::default(); bins],
        })
    }

    /// Counts further samples, `logits` being `labels.len()` rows of `classes` numbers.
    ///
    /// # Errors
    ///
    /// [`Error::LogitCount`], [`Error::ClassOutOfRange`], [`Error::InvalidLogit`],
    /// [`Error::InvalidArgument`] if `classes` is 0; nothing is counted then.
    pub fn update(&mut self, logits: &[f32], classes: usize, labels: &[u32]) -> Result<(), Error> {
        for sample in Batch::new(logits, classes, labels)?.samples() {
            let confidence = sample.confidence();
            let index = self.bin_of(confidence);
            let bin = &mut self.bins[index];
            bin.samples += 1;
            bin.correct += u64::from(sample.prediction() == sample.label);
            bin.confidence += confidence;
        }
        Ok(())
    }

    /// The diagram, from low to high confidence.
    pub fn bins(&self) -> Vec<ReliabilityBin> {
        let mean = |sum: f64, bin: &BinSums| (bin.samples > 0).then(|| sum / bin.samples as f64);
        let describe = |(index, bin): (usize, &BinSums)| ReliabilityBin {
            lower: self.edge(index),
            upper: self.edge(index + 1),
            samples: bin.samples,
            confidence: mean(bin.confidence, bin),
            accuracy: mean(bin.correct as f64, bin),
        };
        self.bins.iter().enumerate().map(describe).collect()
    }

    /// The mean confidence, in 0..1.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`].
    pub fn mean_confidence(&self) -> Result<f64, Error> {
        let samples = self.samples()?;
        let confidence: f64 = self.bins.iter().map(|bin| bin.confidence).sum();
        Ok(confidence / samples as f64)
    }

    /// Expected calibration error, `Σ_bins (samples in bin / samples) · |accuracy − confidence|`,
    /// in 0..1.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`].
    pub fn ece(&self) -> Result<f64, Error> {
        let samples = self.samples()?;
        Ok(self.bins.iter().map(BinSums::total_gap).sum::<f64>() / samples as f64)
    }

    /// Maximum calibration error, the largest `|accuracy − confidence|` of any bin with samples, in
    /// 0..1.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`].
    pub fn mce(&self) -> Result<f64, Error> {
        let occupied = self.bins.iter().filter(|bin| bin.samples > 0);
        occupied
            .map(|bin| bin.total_gap() / bin.samples as f64)
            .reduce(f64::max)
            .ok_or(Error::NoSamples)
    }

    /// How many samples were counted, if any were.
    fn samples(&self) -> Result<u64, Error> {
        let samples = self.bins.iter().map(|bin| bin.samples).sum();
        if samples == 0 {
            return Err(Error::NoSamples);
        }
        Ok(samples)
    }

    fn edge(&self, index: usize) -> f64 {
        index as f64 / self.bins.len() as f64
    }

    /// The bin whose upper edge is the first that is not below `confidence`.
    fn bin_of(&self, confidence: f64) -> usize {
        let last = self.bins.len() - 1;
        let near = ((confidence * self.bins.len() as f64) as usize).min(last);
        // Rounding of the product can be off by one edge in either direction.
        let first = near.saturating_sub(1);
        (first..last)
            .find(|&index| confidence <= self.edge(index + 1))
            .unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::fixture::{CLASSES, LABELS, logits};

    // conf, hit, edges = p.max(1), pred == labels, np.linspace(0, 1, 16)
    // bins = np.searchsorted(edges, conf, side="left") - 1
    // gaps = {j: abs(hit[bins == j].mean() - conf[bins == j].mean()) for j in set(bins)}
    // sum(gaps[j] * (bins == j).mean() for j in gaps), max(gaps.values()), np.bincount(bins, minlength=15)
    #[test]
    fn equals_its_definition_in_numpy() {
        let mut reliability = Reliability::new(DEFAULT_BINS).unwrap();
        reliability.update(&logits(), CLASSES, &LABELS).unwrap();
        assert!((reliability.ece().unwrap() - 0.09093719742009819).abs() < 1e-14);
        assert!((reliability.mce().unwrap() - 0.7824878999681997).abs() < 1e-14);
        let samples: Vec<_> = reliability.bins().iter().map(|bin| bin.samples).collect();
        assert_eq!(samples, [0, 0, 1, 1, 2, 3, 8, 5, 11, 7, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn batches_add_up() {
        let logits = logits();
        let mut parts = Reliability::new(DEFAULT_BINS).unwrap();
        for (logits, labels) in logits.chunks(3 * CLASSES).zip(LABELS.chunks(3)) {
            parts.update(logits, CLASSES, labels).unwrap();
        }
        let whole = expected_calibration_error(&logits, CLASSES, &LABELS, DEFAULT_BINS);
        assert_eq!(parts.ece(), whole);
    }

    #[test]
    fn a_bin_includes_its_upper_edge_alone() {
        for bins in [1, 2, 3, 10, 15, 49, 1000] {
            let reliability = Reliability::new(bins).unwrap();
            for index in 0..bins {
                let upper = reliability.edge(index + 1);
                assert_eq!(reliability.bin_of(upper), index, "{upper} of {bins}");
                assert_eq!(
                    reliability.bin_of(upper.next_down()),
                    index,
                    "below {upper} of {bins}"
                );
                assert_eq!(
                    reliability.bin_of(upper.next_up()),
                    (index + 1).min(bins - 1),
                    "above {upper} of {bins}"
                );
            }
        }
    }

    #[test]
    fn empty_bins_have_no_accuracy() {
        let mut reliability = Reliability::new(4).unwrap();
        reliability.update(&[0.0, 0.0], 2, &[0]).unwrap();
        let bins = reliability.bins();
        assert_eq!(
            (bins[1].samples, bins[1].confidence, bins[1].accuracy),
            (1, Some(0.5), Some(1.0))
        );
        assert_eq!((bins[1].lower, bins[1].upper), (0.25, 0.5));
        assert!(
            [0, 2, 3]
                .iter()
                .all(|&empty| bins[empty].accuracy.is_none() && bins[empty].confidence.is_none())
        );
    }

    #[test]
    fn bad_input_is_an_error() {
        for bins in [0, MAX_BINS + 1] {
            let message = Reliability::new(bins).unwrap_err().to_string();
            assert_eq!(message, format!("bins is {bins}, expected 1 to 1048576"));
        }
        let mut reliability = Reliability::new(2).unwrap();
        assert!(matches!(
            reliability.update(&[0.0, f32::NAN], 1, &[0, 0]),
            Err(Error::InvalidLogit { sample: 1, .. })
        ));
        assert_eq!(reliability.ece(), Err(Error::NoSamples));
        assert_eq!(reliability.mce(), Err(Error::NoSamples));
    }
}
