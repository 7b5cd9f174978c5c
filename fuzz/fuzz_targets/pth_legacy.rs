//! PyTorch's legacy format: the input is the file, or what follows its three constant pickles.
#![no_main]

use cnn_weights::Format;
use libfuzzer_sys::fuzz_target;

/// The pickles of the magic number, the protocol number and the facts about the machine.
const HEAD: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";

fuzz_target!(|data: &[u8]| {
    let file = if data.starts_with(&HEAD[..15]) { data.to_vec() } else { [HEAD, data].concat() };
    cnn_fuzz::read_weights(file, Format::PthLegacy);
});
