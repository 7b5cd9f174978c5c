//! COCO: the input is the JSON file.
#![no_main]

use cnn_data::CocoAnnotations;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(annotations) = CocoAnnotations::parse(data) else { return };
    for image in 0..annotations.len().min(100) {
        drop(annotations.boxes(image));
        let [height, width] = annotations.size(image).expect("it is there");
        if height * width <= 1 << 20 {
            drop(annotations.mask(image));
        }
    }
});
