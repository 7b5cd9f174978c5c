//! Masks: the input is the PNG file.
#![no_main]

use cnn_data::MaskClasses;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(init: cnn_fuzz::forgive_contained_panics(), |data: &[u8]| -> Corpus {
    if !data.starts_with(b"\x89PNG") {
        return Corpus::Reject;
    }
    let names: Vec<String> = (0..255).map(|number| number.to_string() + " class").collect();
    let classes = MaskClasses::of_names(&names).expect("255 names");
    if let Ok(mask) = classes.mask(data) {
        assert_eq!(mask.bytes().len(), mask.height() * mask.width());
    }
    Corpus::Keep
});
