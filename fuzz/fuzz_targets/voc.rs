//! Pascal VOC: the input is an XML file of boxes.
#![no_main]

use cnn_data::VocAnnotation;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(annotation) = VocAnnotation::parse(data) {
        assert!(annotation.objects().all(|(_, object)| object.xywh.iter().all(|value| value.is_finite())));
    }
});
