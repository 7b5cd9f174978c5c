//! CIFAR: the input is a Python file, or a binary one.
#![no_main]

use cnn_data::{CifarImages, Dataset};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let parsed = [CifarImages::parse_pickle(data), CifarImages::parse_binary(data.to_vec())];
    for dataset in parsed.into_iter().flatten() {
        (0..dataset.len().min(100)).for_each(|index| drop(dataset.read(index).expect("the pixels are there")));
    }
});
