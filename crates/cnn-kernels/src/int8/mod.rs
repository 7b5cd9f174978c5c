//! Integer inference: maps of bytes, int8 weights, sums in i32, results that are the same bits on
//! every processor.
//!
//! Activations are affine per map (`x = scale · (q − zero_point)`, u8), weights symmetric per
//! output channel (i8), as in ONNX Runtime and torch.ao (Jacob et al. 2018, "Quantization and Training of
//! Neural Networks for Efficient Integer-Arithmetic-Only Inference"). Every operation says its
//! arithmetic to the last bit: sums are exact, what turns them into bytes is a product in f32 and
//! one rounding half to even.
//!
//! ```
//! use cnn_kernels::int8::{
//!     Quantization, QuantizedConv2d, QuantizedConv2dConfig, QuantizedMap, QuantizedWeight,
//! };
//! use cnn_kernels::{Activation, Conv2dSpec};
//!
//! let input = Quantization::of_range(-1., 1.)?;
//! let xs = QuantizedMap::quantize([1, 1, 2, 2], &[1., -0.5, 0.25, 0.75], input)?;
//! let conv = QuantizedConv2d::new(&QuantizedConv2dConfig {
//!     weight: QuantizedWeight {
//!         dims: [1, 2, 1, 1],
//!         values: &[127, -64],
//!         scales: &[1. / 127.],
//!         bias: None,
//!     },
//!     spec: Conv2dSpec::default(),
//!     input,
//!     output: Quantization::of_range(0., 2.)?,
//!     activation: Activation::Relu,
//! })?;
//! let ys = conv.forward(&xs, None)?.dequantize();
//! // 1 · 1 + 0.5 · 0.5, and 0.25 · 1 − 0.75 · 0.5 below zero.
//! assert!((ys[0] - 1.25).abs() < 0.02 && ys[1] == 0.);
//! # Ok::<(), cnn_kernels::Error>(())
//! ```

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
