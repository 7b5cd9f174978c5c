//! Convolutions that write their outputs next to each other.

use candle_core::Result;
use cnn_kernels::PackedConv2d;

use crate::{Activation, Concat, Context, Conv2d, FeatureMap, LayerKind};

/// `activation(conv(xs))` of several convolutions as `concat` joins them, in one pass; `None` unless
/// all were built for inference.
pub(super) fn concat_packed(
    parts: &[(&Conv2d, &FeatureMap, Activation)],
    concat: &Concat,
    cx: &Context<'_>,
) -> Option<Result<FeatureMap>> {
    let mut packed = Vec::with_capacity(parts.len());
    for &(conv, xs, activation) in parts {
        match conv.packed() {
            Ok(weights) => packed.push((weights?, xs, activation)),
            Err(stale) => return Some(Err(stale)),
        }
    }
    let inputs: Vec<_> = parts.iter().map(|&(_, xs, _)| xs.into()).collect();
    let compute = || PackedConv2d::forward_concat(&packed);
    Some(cx.layer(concat.path(), LayerKind::FusedConcat, &inputs, compute))
}
