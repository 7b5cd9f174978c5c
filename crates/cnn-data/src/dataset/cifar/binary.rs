//! CIFAR's binary files: records of labels and pixels.

use super::images::{Batch, Kind, Labels, PIXELS, Pixels};

/// Reads records of one label, or of a coarse and a fine one, and 3,072 values.
pub(super) fn parse(file: Vec<u8>, kind: Kind) -> Result<Batch, String> {
    let (labels, wanted) = match kind {
        Kind::Ten => (1, 0),
        Kind::Hundred(Labels::Coarse) => (2, 0),
        Kind::Hundred(Labels::Fine) => (2, 1),
    };
    let record = labels + PIXELS;
    if file.is_empty() || !file.len().is_multiple_of(record) {
        return Err(format!(
            "{} bytes, expected records of {record}: {labels} of labels and {PIXELS} of pixels",
            file.len()
        ));
    }
    let found = file.chunks_exact(record).map(|record| record[wanted]);
    Ok(Batch {
        name: "batch".to_owned(),
        labels: found.collect(),
        pixels: Pixels {
            bytes: file,
            start: labels,
            step: record,
        },
    })
}
