//! Integer inference: maps of bytes, int8 weights, sums in i32, results that are the same bits on
//! every processor.
//!
//! Activations are affine per map (`x = scale · (q − zero_point)`, u8), weights symmetric per output
//! channel (i8), as in ONNX Runtime and torch.ao (Jacob et al. 2018, "Quantization and Training of
//! Neural Networks for Efficient Integer-Arithmetic-Only Inference"). Every operation says its
//! arithmetic to the last bit: sums are exact, what turns them into bytes is a product in f32 and
//! one rounding half to even.

mod activation_table;
mod ceiling;
mod combine;
mod conv2d;
mod depthwise;
mod direct;
mod layout;
mod map;
mod microkernel;
mod packed;
mod packed_depthwise;
mod pool;
mod quantization;
mod windows;

pub use activation_table::ActivationTable;
pub use ceiling::peak_int8_ops;
pub use combine::{add, concat, requantize, scale_channels};
pub use conv2d::{QuantizedConv2d, QuantizedConv2dConfig, QuantizedWeight};
pub use map::QuantizedMap;
pub use pool::{avg_pool, global_avg_pool, max_pool};
pub use quantization::Quantization;
