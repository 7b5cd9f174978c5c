//! Blocks that several families share, with timm's names inside.

mod conv_act;
mod conv_norm_act;
mod dense_block;
mod depthwise_separable;
mod inverted_residual;
mod norm_act;
mod options;
mod residual;
mod residual_sum;
mod shuffle_unit;
mod squeeze_excite;

pub use conv_act::ConvAct;
pub use conv_norm_act::{ConvNormAct, ConvNormActConfig};
pub use dense_block::{DenseBlock, DenseBlockConfig};
pub use depthwise_separable::{DepthwiseSeparable, DepthwiseSeparableConfig};
pub use inverted_residual::{InvertedResidual, InvertedResidualConfig};
pub use norm_act::{NormAct, NormActConfig};
pub use options::BlockOptions;
pub use residual::Residual;
pub use residual_sum::ResidualSum;
pub use shuffle_unit::{ShuffleUnit, ShuffleUnitConfig};
pub use squeeze_excite::{SqueezeExcite, SqueezeExciteConfig};
