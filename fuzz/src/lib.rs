//! What the fuzz targets share.

use std::panic::{set_hook, take_hook};
use std::sync::Once;

use cnn_weights::{Format, TensorFile};

/// Reads a weight file and makes its tensors; inputs of another format than `format` are of no use
/// to the target.
pub fn read_weights(bytes: Vec<u8>, format: Format) {
    let Ok(file) = TensorFile::from_bytes(bytes) else { return };
    assert_eq!(file.format(), format);
    for name in file.names() {
        if let Ok(tensor) = file.tensor(name) {
            assert_eq!(tensor.dims(), file.info(name).expect("it has this name").shape);
        }
    }
}

/// Lets panics inside third-party decoders unwind: `cnn-data` contains them. libFuzzer's own hook,
/// which ends the process, stays for panics in our code.
pub fn forgive_contained_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let abort = take_hook();
        set_hook(Box::new(move |panic| {
            let third_party = panic.location().is_some_and(|location| location.file().contains("/registry/"));
            if !third_party {
                abort(panic);
            }
        }));
    });
}
