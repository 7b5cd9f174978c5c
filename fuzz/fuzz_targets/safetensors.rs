//! Safetensors: the input is the file.
#![no_main]

use cnn_weights::Format;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    if data.get(8) != Some(&b'{') {
        return Corpus::Reject;
    }
    cnn_fuzz::read_weights(data.to_vec(), Format::Safetensors);
    Corpus::Keep
});
