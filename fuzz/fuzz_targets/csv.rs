//! Tables of images and labels: the input is the file.
#![no_main]

use cnn_data::LabelTable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(table) = LabelTable::parse(data, None) else { return };
    assert!(table.rows().iter().all(|row| row.line > 0));
    assert!(table.rows().len() <= data.len());
});
