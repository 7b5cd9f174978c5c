//! PyTorch's zip format: the input is the file.
#![no_main]

use cnn_weights::Format;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    if !data.starts_with(b"PK\x03\x04") || data.get(8) == Some(&b'{') {
        return Corpus::Reject;
    }
    cnn_fuzz::read_weights(data.to_vec(), Format::PthZip);
    Corpus::Keep
});
