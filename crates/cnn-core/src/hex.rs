//! Bytes as text.

/// The bytes in hexadecimal, two lower-case digits each, as hashes are written.
///
/// ```
/// assert_eq!(cnn_core::hex(&[0, 0xa5]), "00a5");
/// ```
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
