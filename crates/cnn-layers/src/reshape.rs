//! Changes of shape as layers without parameters.

use candle_core::{Result, Tensor};
use cnn_kernels::concat;

use crate::{Builder, Context, FeatureMap, Layer, LayerKind};

/// Maps as vectors, in PyTorch's order of channels, rows, columns: what stands between the last map
/// and a [`Linear`](crate::Linear) layer.
///
/// [`FeatureMap::flatten`] computes the same, but an observer does not see it: what comes after it
/// would have no place in a graph of the network.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, C·H·W)`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{Context, FeatureMap, Flatten, Mode, Store};
///
/// let flatten = Flatten::new(&Store::new(0).builder(Mode::Eval).pp("flatten"));
/// let maps = FeatureMap::from_nchw(&Tensor::zeros((2, 3, 4, 5), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(flatten.forward(&maps, &Context::eval())?.dims(), [2, 60]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Flatten {
    path: String,
}

impl Flatten {
    /// The layer at the builder's place.
    pub fn new(builder: &Builder) -> Self {
        Self {
            path: builder.path().to_string(),
        }
    }

    /// The vectors.
    ///
    /// # Errors
    /// Those of the observer.
    pub fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        cx.layer(&self.path, LayerKind::Flatten, &[xs.into()], || {
            xs.flatten()
        })
    }
}

/// Channels of zeros before and after those of the input: the shortcut without parameters of the
/// CIFAR ResNets (He et al. 2015, option A).
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H, W, before + C + after)`.
#[derive(Debug, Clone)]
pub struct PadChannels {
    path: String,
    before: usize,
    after: usize,
}

impl PadChannels {
    /// The layer at the builder's place, with so many channels of zeros on each side.
    pub fn new(before: usize, after: usize, builder: &Builder) -> Self {
        Self {
            path: builder.path().to_string(),
            before,
            after,
        }
    }
}

impl Layer for PadChannels {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = LayerKind::PadChannels {
            before: self.before,
            after: self.after,
        };
        cx.layer(&self.path, kind, &[xs.into()], || {
            let zeros = |channels| {
                let shape = (xs.batch(), xs.height(), xs.width(), channels);
                FeatureMap::from_nhwc(&Tensor::zeros(shape, xs.dtype(), xs.device())?)
            };
            concat(&[&zeros(self.before)?, xs, &zeros(self.after)?])
        })
    }
}
