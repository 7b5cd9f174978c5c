//! The dense block of DenseNet (Huang et al. 2016).

use candle_core::Result;
use cnn_kernels::MeasuredMap;

use crate::{
    Activation, BatchNorm2dConfig, Builder, Concat, Context, Conv2d, Conv2dConfig, ConvNormAct,
    ConvNormActConfig, Dropout, FeatureMap, Init, Layer, NormAct, NormActConfig, Padding,
};

/// What a [`DenseBlock`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DenseBlockConfig {
    in_channels: usize,
    layers: usize,
    growth: usize,
    bottleneck: usize,
    drop_rate: f64,
    init: Init,
}

impl DenseBlockConfig {
    /// So many layers, each of which adds `growth` channels (the paper's k) and has a bottleneck of
    /// four times as many (DenseNet-B); no dropout, PyTorch's initialisation.
    pub const fn new(in_channels: usize, layers: usize, growth: usize) -> Self {
        Self {
            in_channels,
            layers,
            growth,
            bottleneck: 4,
            drop_rate: 0.,
            init: Init::PYTORCH_DEFAULT,
        }
    }

    /// Another width of the bottlenecks, in multiples of `growth`.
    pub const fn with_bottleneck(mut self, bottleneck: usize) -> Self {
        self.bottleneck = bottleneck;
        self
    }

    /// Drops what a layer adds with this probability, value by value, in training.
    pub const fn with_drop_rate(mut self, p: f64) -> Self {
        self.drop_rate = p;
        self
    }

    /// Another initialisation of the convolutions.
    pub const fn with_init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Takes `denselayer1`, `denselayer2`, … from the builder's place, each with `norm1`, `conv1`,
    /// `norm2`, `conv2`.
    ///
    /// # Errors
    /// If a number is zero or the probability is not in `0..1`, and those of the layers.
    pub fn build(&self, builder: &Builder) -> Result<DenseBlock> {
        let mut channels = self.in_channels;
        let mut layers = Vec::with_capacity(self.layers);
        for number in 1..=self.layers {
            let at = builder.pp(format!("denselayer{number}"));
            let layer = self.layer(channels, &at)?;
            channels += layer.growth;
            layers.push(layer);
        }
        Ok(DenseBlock {
            out_channels: channels,
            layers,
            concat: Concat::new(builder),
        })
    }

    fn layer(&self, channels: usize, at: &Builder) -> Result<DenseLayer> {
        let [conv1, conv2] = ["conv1", "conv2"].map(|name| at.pp(name));
        let width = conv1.width(self.bottleneck * self.growth);
        let growth = conv2.width(self.growth);
        let relu = Activation::Relu;
        let narrow = Conv2dConfig::new(channels, width, 1).with_init(self.init);
        let wide = Conv2dConfig::new(width, growth, 3)
            .with_padding(Padding::all(1))
            .with_init(self.init)
            .without_bias();
        Ok(DenseLayer {
            growth,
            concat: Concat::new(at),
            norm: NormActConfig::new(BatchNorm2dConfig::new(channels), relu)
                .build(&at.pp("norm1"))?,
            bottleneck: ConvNormActConfig::new(narrow, BatchNorm2dConfig::new(width), relu)
                .build(&conv1, &at.pp("norm2"))?,
            conv: wide.build(&conv2)?,
            dropout: (self.drop_rate != 0.)
                .then(|| Dropout::new(self.drop_rate, &at.pp("drop")))
                .transpose()?,
        })
    }
}

/// Each layer reads the outputs of all layers before it, and the block gives them all: features are
/// used again, so that a layer need add few.
///
/// # Cost
/// Layer `l` normalises all `C₀ + (l − 1) · growth` channels that it reads, for its norm has its own
/// scale and shift: the values that pass through these norms grow with the square of the number of
/// layers. Nothing else does. A norm reads the maps where they lie, in one pass with its activation;
/// their statistics are measured once; training keeps each of them once, beside the norms' outputs.
/// The maps are joined one time, at the block's end. Where an observer watches, every layer joins
/// what it reads, so that it can be seen.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, H, W, in_channels + layers · growth)`.
#[derive(Debug, Clone)]
pub struct DenseBlock {
    out_channels: usize,
    layers: Vec<DenseLayer>,
    concat: Concat,
}

impl DenseBlock {
    /// Channels of its output.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }
}

impl Layer for DenseBlock {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let mut features = Vec::with_capacity(1 + self.layers.len());
        features.push(MeasuredMap::new(xs.clone()));
        for layer in &self.layers {
            let added = layer.forward(&features, cx)?;
            features.push(MeasuredMap::new(added));
        }
        let features: Vec<&FeatureMap> = features.iter().map(MeasuredMap::map).collect();
        self.concat.forward(&features, cx)
    }
}

/// `conv3×3(relu(norm2(conv1×1(relu(norm1(features))))))`. Built for inference, the second norm is
/// in the first convolution.
#[derive(Debug, Clone)]
struct DenseLayer {
    /// Channels that it adds.
    growth: usize,
    concat: Concat,
    norm: NormAct,
    bottleneck: ConvNormAct,
    conv: Conv2d,
    dropout: Option<Dropout>,
}

impl DenseLayer {
    fn forward(&self, features: &[MeasuredMap], cx: &Context<'_>) -> Result<FeatureMap> {
        let xs = self.norm.forward_concat(features, &self.concat, cx)?;
        let added = self.conv.forward(&self.bottleneck.forward(&xs, cx)?, cx)?;
        match &self.dropout {
            Some(dropout) => dropout.forward(&added, cx),
            None => Ok(added),
        }
    }
}
