//! Blocks that several families share, with timm's names inside.

mod concat_packed;
mod conv_act;
mod conv_layer_scale;
mod conv_norm_act;
mod dense_block;
mod depthwise_separable;
mod fused_inverted_residual;
mod inception;
mod inverted_residual;
mod layer_norm_conv;
mod mobile_branch;
mod norm_act;
mod options;
mod rep_vgg;
mod residual;
mod residual_sum;
mod shuffle_unit;
mod squeeze_excite;
mod universal_inverted_residual;

pub use conv_act::ConvAct;
pub use conv_layer_scale::{ConvLayerScale, ConvLayerScaleConfig};
pub use conv_norm_act::{ConvNormAct, ConvNormActConfig};
pub use dense_block::{DenseBlock, DenseBlockConfig};
pub use depthwise_separable::{DepthwiseSeparable, DepthwiseSeparableConfig};
pub use fused_inverted_residual::{FusedInvertedResidual, FusedInvertedResidualConfig};
pub use inception::Inception;
pub use inverted_residual::{InvertedResidual, InvertedResidualConfig};
pub use layer_norm_conv::{LayerNormConv, LayerNormConvConfig};
pub use norm_act::{NormAct, NormActConfig};
pub use options::BlockOptions;
pub use rep_vgg::{RepVggBlock, RepVggBlockConfig};
pub use residual::Residual;
pub use residual_sum::{BranchEnd, ResidualSum};
pub use shuffle_unit::{ShuffleUnit, ShuffleUnitConfig};
pub use squeeze_excite::{SqueezeExcite, SqueezeExciteConfig};
pub use universal_inverted_residual::{UniversalInvertedResidual, UniversalInvertedResidualConfig};
