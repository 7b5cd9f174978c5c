//! TensorBoard's event files: `Event` protocol buffers framed as TFRecords, each with masked
//! CRC-32C sums.
//!
//! Scalars need five fields of two messages, so they are written here:
//! <https://protobuf.dev/programming-guides/encoding/>.

use std::time::{SystemTime, UNIX_EPOCH};

/// The record that an event file begins with.
pub(crate) fn file_version() -> Vec<u8> {
    record(&event(wall_time(), 0, FILE_VERSION, b"brain.Event:2"))
}

/// One record with scalars.
pub(crate) fn scalars(step: u64, scalars: &[(String, f64)]) -> Vec<u8> {
    record(&event(wall_time(), step, SUMMARY, &summary(scalars)))
}

fn wall_time() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0., |elapsed| elapsed.as_secs_f64())
}

// Numbers of fields in `tensorflow.Event`, `Summary` and `Summary.Value`.
const WALL_TIME: u64 = 1;
const STEP: u64 = 2;
const FILE_VERSION: u64 = 3;
const SUMMARY: u64 = 5;
const VALUE: u64 = 1;
const TAG: u64 = 1;
const SIMPLE_VALUE: u64 = 2;

// How a field's content is laid out.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// `tensorflow.Event` with one content.
fn event(wall_time: f64, step: u64, content: u64, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    key(&mut message, WALL_TIME, FIXED64);
    message.extend(wall_time.to_le_bytes());
    // A number that is zero is left out.
    if step != 0 {
        key(&mut message, STEP, VARINT);
        varint(&mut message, step);
    }
    field(&mut message, content, bytes);
    message
}

fn summary(scalars: &[(String, f64)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (tag, value) in scalars {
        let mut scalar = Vec::new();
        field(&mut scalar, TAG, tag.as_bytes());
        key(&mut scalar, SIMPLE_VALUE, FIXED32);
        scalar.extend((*value as f32).to_le_bytes());
        field(&mut message, VALUE, &scalar);
    }
    message
}

/// A field of text or of a message.
fn field(message: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    key(message, number, BYTES);
    varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn key(message: &mut Vec<u8>, number: u64, layout: u64) {
    varint(message, number << 3 | layout);
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// Length and content, each with its checksum.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), message, &masked(message)].concat()
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
        .to_le_bytes()
}

/// Castagnoli's CRC, bit by bit: a record has a few hundred bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0x82f6_3b78;
    let shift = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { REVERSED_POLYNOMIAL } else { 0 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| shift(crc))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // tensorboard 2.21:
    //     from tensorboard.compat.proto.event_pb2 import Event
    //     from tensorboard.compat.proto.summary_pb2 import Summary
    //     from tensorboard.summary.writer.record_writer import RecordWriter
    //     def record(event): file = io.BytesIO(); RecordWriter(file).write(event.SerializeToString()); return file.getvalue().hex()
    //     record(Event(wall_time=1.5, file_version="brain.Event:2"))
    //     values = [Summary.Value(tag="train/loss", simple_value=0.25), Summary.Value(tag="lr", simple_value=0.0)]
    //     record(Event(wall_time=1234567.5, step=300, summary=Summary(value=values)))
    #[test]
    fn records_are_those_of_tensorboard() {
        let version = record(&event(1.5, 0, FILE_VERSION, b"brain.Event:2"));
        assert_eq!(
            hex(&version),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
        );
        let scalars = [("train/loss".to_string(), 0.25), ("lr".to_string(), 0.)];
        let scalars = record(&event(1_234_567.5, 300, SUMMARY, &summary(&scalars)));
        assert_eq!(
            hex(&scalars),
            "2c00000000000000f4aecc45090000008087d6324110ac022a1e0a110a0a747261696e2f6c6f7373150000803e0a090a026c7215000000002e9fb27e"
        );
    }

    // The values of RFC 3720, appendix B.4, and the usual check.
    #[test]
    fn checksums_are_castagnolis() {
        let ascending: Vec<u8> = (0..32).collect();
        let cases: [(&[u8], u32); 4] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ];
        for (bytes, expected) in cases {
            assert_eq!(crc32c(bytes), expected, "{bytes:?}");
        }
    }
}
