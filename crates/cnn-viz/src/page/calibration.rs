//! How sure the network was, and how often it was right.

use cnn_metrics::{Reliability, ReliabilityBin};

use super::format::{NOTHING, count, percent};
use super::reliability_chart::reliability_chart;
use crate::Error;

/// Confidence and accuracy are called alike up to this difference.
const ALIKE: f64 = 0.02;

/// What stands under "Calibration".
pub(crate) struct Calibration {
    pub(crate) svg: String,
    pub(crate) samples: String,
    pub(crate) confidence: String,
    pub(crate) accuracy: String,
    /// The two above in words.
    pub(crate) finding: &'static str,
    pub(crate) ece: String,
    /// Each bin that has samples: its ends, samples, mean confidence, share right.
    pub(crate) rows: Vec<[String; 4]>,
    pub(crate) bins: usize,
}

impl Calibration {
    /// The section, or `None` without samples.
    pub(crate) fn new(reliability: &Reliability) -> Result<Option<Self>, Error> {
        let bins = reliability.bins();
        let samples: u64 = bins.iter().map(|bin| bin.samples).sum();
        if samples == 0 {
            return Ok(None);
        }
        let mean = |value: fn(&ReliabilityBin) -> Option<f64>| {
            let weighted = bins
                .iter()
                .filter_map(|bin| Some(bin.samples as f64 * value(bin)?));
            weighted.sum::<f64>() / samples as f64
        };
        let confidence = mean(|bin| bin.confidence);
        let accuracy = mean(|bin| bin.accuracy);
        Ok(Some(Self {
            svg: reliability_chart(&bins)?,
            samples: count(samples),
            confidence: percent(confidence),
            accuracy: percent(accuracy),
            finding: match confidence - accuracy {
                more if more > ALIKE => "It is surer than it is right.",
                less if less < -ALIKE => "It is right more often than it is sure.",
                _ => "On the whole it is about as sure as it is right.",
            },
            ece: percent(reliability.ece()?),
            rows: bins.iter().filter(|bin| bin.samples > 0).map(row).collect(),
            bins: bins.len(),
        }))
    }
}

fn row(bin: &ReliabilityBin) -> [String; 4] {
    let share = |share: Option<f64>| share.map_or_else(|| NOTHING.into(), percent);
    let ends = format!("{:.1} to {:.1}\u{a0}%", 100. * bin.lower, 100. * bin.upper);
    [
        ends,
        count(bin.samples),
        share(bin.confidence),
        share(bin.accuracy),
    ]
}
