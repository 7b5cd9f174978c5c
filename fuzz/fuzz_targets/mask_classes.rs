//! Lists of masks' classes: the input is the file.
#![no_main]

use cnn_data::MaskClasses;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(classes) = MaskClasses::parse(data) {
        assert!(classes.names().len() <= 255);
    }
});
