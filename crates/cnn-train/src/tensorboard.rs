//! TensorBoard's event files: `Event` protocol buffers framed as TFRecords, each with masked CRC-32C sums.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

/// `tensorflow.Event`, as far as scalars need it.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// The record that an event file begins with.
pub(crate) fn file_version() -> Vec<u8> {
    let file_version = Some("brain.Event:2".to_string());
    record(&Event { wall_time: wall_time(), step: 0, file_version, summary: None })
}

/// One record with scalars.
pub(crate) fn scalars(step: u64, scalars: &[(String, f64)]) -> Vec<u8> {
    let value = |(tag, value): &(String, f64)| SummaryValue { tag: tag.clone(), simple_value: Some(*value as f32) };
    let summary = Some(Summary { value: scalars.iter().map(value).collect() });
    record(&Event { wall_time: wall_time(), step: step as i64, file_version: None, summary })
}

fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0., |elapsed| elapsed.as_secs_f64())
}

fn record(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked(&length));
    bytes.extend(&data);
    bytes.extend(masked(&data));
    bytes
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}
