//! YOLO: the input is `data.yaml`.
#![no_main]

use cnn_data::YoloData;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(data) = YoloData::parse(data) {
        assert!(!data.names().is_empty());
    }
});
