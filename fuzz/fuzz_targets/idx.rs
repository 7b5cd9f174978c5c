//! IDX: the input is the file of images, plain or compressed; its labels are made to fit.
#![no_main]

use cnn_data::{Dataset, IdxArray, IdxImages};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(array) = IdxArray::parse(data) else { return };
    assert_eq!(array.dimensions().iter().product::<usize>(), array.bytes().len());
    let count = array.dimensions()[0].min(1 << 20);
    let mut labels = vec![0, 0, 8, 1];
    labels.extend((count as u32).to_be_bytes());
    labels.resize(8 + count, 0);
    if let Ok(dataset) = IdxImages::parse(data, &labels) {
        (0..dataset.len().min(100)).for_each(|index| drop(dataset.read(index).expect("the pixels are there")));
    }
});
