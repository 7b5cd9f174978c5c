//! Any file given as weights: what is none must be named without a panic. The input is the file.
#![no_main]

use cnn_weights::TensorFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(error) = TensorFile::from_bytes(data.to_vec()) {
        assert!(!error.to_string().is_empty());
    }
});
