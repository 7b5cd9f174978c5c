//! Some of the channels, and channels in another order, as layers without parameters.

use std::ops::Range;

use candle_core::Result;
use cnn_kernels::{channel_shuffle, channel_slice};

use crate::{Builder, Context, FeatureMap, Layer, LayerKind};

/// Some neighbouring channels of the input: half of a channel split, for instance.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H, W, channels.len())`.
#[derive(Debug, Clone)]
pub struct ChannelSlice {
    path: String,
    channels: Range<usize>,
}

impl ChannelSlice {
    /// The layer at the builder's place, with the channels that it keeps.
    pub fn new(channels: Range<usize>, builder: &Builder) -> Self {
        Self {
            path: builder.path().to_string(),
            channels,
        }
    }

    /// The channels that it keeps.
    pub(crate) fn channels(&self) -> Range<usize> {
        self.channels.clone()
    }
}

impl Layer for ChannelSlice {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = LayerKind::ChannelSlice {
            start: self.channels.start,
            channels: self.channels.len(),
        };
        cx.layer(&self.path, kind, &[xs.into()], || {
            channel_slice(xs, self.channels())
        })
    }
}

/// The channels of several groups in turn (Zhang et al. 2017, "ShuffleNet"): channel `k` of group
/// `i` becomes channel `k · groups + i`, so that the next layer's groups see channels of all.
///
/// # Shapes
/// `(N, H, W, C)` to the same; the groups divide C.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::{ChannelShuffle, Context, FeatureMap, Layer, Mode, Store};
///
/// let shuffle = ChannelShuffle::new(2, &Store::new(0).builder(Mode::Eval).pp("shuffle"));
/// let xs = FeatureMap::from_nhwc(&Tensor::new(&[[[[0f32, 1., 2., 3., 4., 5.]]]], &Device::Cpu)?)?;
/// let ys = shuffle.forward(&xs, &Context::eval())?.flatten()?;
/// assert_eq!(ys.to_vec2::<f32>()?, [[0., 3., 1., 4., 2., 5.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChannelShuffle {
    path: String,
    groups: usize,
}

impl ChannelShuffle {
    /// The layer at the builder's place, with so many groups.
    pub fn new(groups: usize, builder: &Builder) -> Self {
        Self {
            path: builder.path().to_string(),
            groups,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn kind(&self) -> LayerKind {
        LayerKind::ChannelShuffle {
            groups: self.groups,
        }
    }
}

impl Layer for ChannelShuffle {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        cx.layer(&self.path, self.kind(), &[xs.into()], || {
            channel_shuffle(xs, self.groups)
        })
    }
}
