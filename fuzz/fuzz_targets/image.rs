//! Images: the input is the file, of any accepted format.
#![no_main]

use cnn_data::{FileFormat, decode};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(init: cnn_fuzz::forgive_contained_panics(), |data: &[u8]| -> Corpus {
    if FileFormat::recognise(data).is_err() {
        return Corpus::Reject;
    }
    if let Ok(image) = decode(data) {
        assert_eq!(image.bytes().len(), image.height() * image.width() * image.channels());
    }
    Corpus::Keep
});
