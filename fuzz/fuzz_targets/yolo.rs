//! YOLO: the input is a text file of boxes.
#![no_main]

use cnn_data::YoloLabels;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(labels) = YoloLabels::parse(data) {
        assert!(labels.objects([30, 40]).all(|object| object.xywh.iter().all(|value| value.is_finite())));
    }
});
