//! The ends of mobile networks: pooling, a 1×1 convolution before or after it, a linear layer.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Activate, Builder, Context, Conv2dConfig, ConvAct, Dropout, FeatureMap, Flatten,
    GlobalAvgPool2d, Head, Init, Layer, Linear, LinearConfig, LinearHead, StagedBuilder,
    StagedClassifier,
};

use super::MobileNet;
use crate::Error;

/// What the head is built from beside the network.
pub(super) struct Config {
    pub(super) num_classes: usize,
    pub(super) drop_rate: f64,
    /// The linear layer's name.
    pub(super) classifier: &'static str,
}

impl MobileNet {
    /// Ends the network.
    pub(super) fn build_head(
        &self,
        config: &Config,
        root: &Builder,
        mut net: StagedBuilder,
    ) -> std::result::Result<StagedClassifier, Error> {
        let at = root.pp("conv_head");
        let features = at.width(self.channels(self.features));
        let conv = Conv2dConfig::new(net.channels(), features, 1);
        let conv_head: Box<dyn Layer> = match self.head {
            super::Head::BeforePool => {
                net.group("tail", &["conv_head", "bn2"]);
                let unit = self.unit(conv, features, self.activation);
                net.add(unit.build(&at, &root.pp("bn2"))?)
                    .set_channels(features);
                let head = LinearHead::of(config.linear(features, root)?, root, config.drop_rate)?;
                return Ok(net.classifier(config.num_classes, &[config.classifier], head));
            }
            super::Head::AfterPool => {
                net.head_group("tail", &["conv_head"]);
                let conv = conv
                    .with_init(Init::KAIMING_NORMAL_OUT)
                    .with_bias_init(Init::ZEROS);
                let act = Activate::new(self.activation, &root.pp("act2"));
                Box::new(ConvAct::build(&conv, act, &at)?)
            }
            super::Head::AfterPoolNormed => {
                net.head_group("tail", &["conv_head", "norm_head"]);
                let unit = self.unit(conv, features, self.activation);
                Box::new(unit.build(&at, &root.pp("norm_head"))?)
            }
        };
        let head = EfficientHead {
            pool: GlobalAvgPool2d::new().at(&root.pp("global_pool")),
            conv_head,
            flatten: Flatten::new(&root.pp("flatten")),
            dropout: Dropout::new(config.drop_rate, &root.pp("head_drop"))?,
            classifier: config.linear(features, root)?,
        };
        Ok(net.classifier(config.num_classes, &[config.classifier], head))
    }
}

impl Config {
    /// The linear layer, which starts as in TensorFlow's reference: uniform in `±1/√classes`,
    /// without a bias.
    fn linear(&self, features: usize, root: &Builder) -> Result<Linear> {
        let bound = 1. / (self.num_classes as f64).sqrt();
        LinearConfig::new(features, self.num_classes)
            .with_init(Init::Uniform { bound })
            .with_bias_init(Init::ZEROS)
            .build(&root.pp(self.classifier))
    }
}

/// MobileNetV3's "efficient last stage": the last 1×1 convolution reads what is left after the
/// pooling, one pixel instead of 49.
struct EfficientHead {
    pool: GlobalAvgPool2d,
    conv_head: Box<dyn Layer>,
    flatten: Flatten,
    dropout: Dropout,
    classifier: Linear,
}

impl Head for EfficientHead {
    fn input(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.pool.forward(features, cx)
    }

    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let pooled = self.pool.forward(features, cx)?;
        let features = self.conv_head.forward(&pooled, cx)?;
        let features = self.flatten.forward(&features, cx)?;
        self.classifier
            .forward(&self.dropout.forward_vectors(&features, cx)?, cx)
    }
}
