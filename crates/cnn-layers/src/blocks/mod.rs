//! Blocks that several families share, with timm's names inside.

mod conv_act;
mod conv_norm_act;
mod depthwise_separable;
mod fused_inverted_residual;
mod inverted_residual;
mod mobile_branch;
mod options;
mod residual;
mod residual_sum;
mod squeeze_excite;
mod universal_inverted_residual;

pub use conv_act::ConvAct;
pub use conv_norm_act::{ConvNormAct, ConvNormActConfig};
pub use depthwise_separable::{DepthwiseSeparable, DepthwiseSeparableConfig};
pub use fused_inverted_residual::{FusedInvertedResidual, FusedInvertedResidualConfig};
pub use inverted_residual::{InvertedResidual, InvertedResidualConfig};
pub use options::BlockOptions;
pub use residual::Residual;
pub use residual_sum::ResidualSum;
pub use squeeze_excite::{SqueezeExcite, SqueezeExciteConfig};
pub use universal_inverted_residual::{UniversalInvertedResidual, UniversalInvertedResidualConfig};
