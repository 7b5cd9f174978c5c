//! What the fuzz targets share.

use cnn_weights::{Format, TensorFile};

/// Reads a weight file and makes its tensors; inputs of another format than `format` are of no use to the target.
pub fn read_weights(bytes: Vec<u8>, format: Format) {
    let Ok(file) = TensorFile::from_bytes(bytes) else { return };
    assert_eq!(file.format(), format);
    for name in file.names() {
        if let Ok(tensor) = file.tensor(name) {
            assert_eq!(tensor.dims(), file.info(name).expect("it has this name").shape);
        }
    }
}
