//! WebDataset: the input is a tar archive.
#![no_main]

use cnn_data::{Content, Dataset, WebDataset};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(dataset) = WebDataset::parse(data.to_vec()) else { return };
    for index in 0..dataset.len() {
        if let Ok(Content::Encoded(bytes)) = dataset.content(index) {
            assert!(bytes.len() <= data.len());
        }
        assert!(dataset.label(index).is_none_or(|label| label < dataset.classes().len()));
    }
});
