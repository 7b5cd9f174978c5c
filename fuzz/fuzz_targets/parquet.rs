//! Parquet: the input is the file.
#![no_main]

use cnn_data::{Dataset, ParquetImages};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(init: cnn_fuzz::forgive_contained_panics(), |data: &[u8]| -> Corpus {
    if !data.starts_with(b"PAR1") {
        return Corpus::Reject;
    }
    let Ok(dataset) = ParquetImages::parse(data.to_vec()) else { return Corpus::Keep };
    (0..dataset.len().min(100)).for_each(|index| drop(dataset.content(index)));
    Corpus::Keep
});
