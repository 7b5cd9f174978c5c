//! `predictions.csv`: what a network took each image for.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use cnn_core::write_atomic;
use cnn_data::Dataset;
use cnn_transfer::Measured;

/// The file's name in a run directory.
pub(crate) const NAME: &str = "predictions.csv";

/// Writes a row per image: `path`, `part` (train, val or test; empty where it is not known),
/// `truth`, `prediction`, their probabilities, and where the network has at most a hundred classes
/// the probability of each, in columns `p_<class>`.
pub(crate) fn write(
    path: &Path,
    measured: &Measured,
    dataset: &dyn Dataset,
    part: impl Fn(usize) -> &'static str,
    names: &[String],
) -> Result<()> {
    let write = |file: &mut dyn Write| {
        let mut table = csv::Writer::from_writer(file);
        let each = measured.logits.as_ref().map_or(&[][..], |_| names);
        let fixed = [
            "path",
            "part",
            "truth",
            "prediction",
            "probability",
            "truth_probability",
        ]
        .map(String::from);
        table.write_record(
            fixed
                .into_iter()
                .chain(each.iter().map(|name| format!("p_{name}"))),
        )?;
        for (row, judged) in measured.judged.iter().enumerate() {
            let number = |probability: f64| (probability as f32).to_string();
            let fixed = [
                dataset.id(judged.index),
                part(judged.index).to_string(),
                names[judged.label].clone(),
                names[judged.prediction].clone(),
                number(judged.probability),
                number(judged.label_probability),
            ];
            let of_each = measured.probabilities(row).unwrap_or_default();
            table.write_record(fixed.into_iter().chain(of_each.into_iter().map(number)))?;
        }
        table.flush()
    };
    Ok(write_atomic(path, write)?)
}
