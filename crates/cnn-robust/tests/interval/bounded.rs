//! Networks whose scores have bounds.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Activate, Activation, Add, AvgPool2d, Backbone, BatchNorm2dConfig, Classifier, Concat, Context,
    Conv2d, Conv2dConfig, FeatureMap, Flatten, Layer, LayerGroup, Linear, LinearConfig, MaxPool2d,
    Mode, Padding, SqueezeExcite, SqueezeExciteConfig, StageInfo, Store, Window,
};

/// What a network of one's own does between images and scores.
pub(crate) trait Parts: Send + Sync {
    fn maps(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap>;
    fn scores(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Tensor>;
}

/// A classifier of one stage.
pub(crate) struct Whole<P> {
    pub(crate) parts: P,
    pub(crate) classes: usize,
    stages: [StageInfo; 1],
    groups: [LayerGroup; 1],
}

impl<P: Parts> Whole<P> {
    pub(crate) fn new(parts: P, classes: usize) -> Self {
        Self {
            parts,
            classes,
            stages: [StageInfo {
                module: "stem".to_string(),
                channels: 0,
                reduction: 1,
            }],
            groups: [LayerGroup::new("stem", ["stem"])],
        }
    }
}

impl<P: Parts> Backbone for Whole<P> {
    fn stages(&self) -> &[StageInfo] {
        &self.stages
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        Ok(vec![self.parts.maps(xs, cx)?])
    }

    fn forward_from(&self, _: usize, xs: &FeatureMap, _: &Context<'_>) -> Result<FeatureMap> {
        Ok(xs.clone())
    }
}

impl<P: Parts> Classifier for Whole<P> {
    fn num_classes(&self) -> usize {
        self.classes
    }

    fn num_features(&self) -> usize {
        0
    }

    fn forward_head(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        self.parts.scores(xs, cx)
    }
}

/// The network of `tools/goldens/interval_bounds.py`.
pub(crate) struct Mixed {
    stem: [Box<dyn Layer>; 4],
    branch: [Box<dyn Layer>; 3],
    add: Add,
    swish: Activate,
    squeeze_excite: SqueezeExcite,
    pool: AvgPool2d,
    gelu: Activate,
    concat: Concat,
    flatten: Flatten,
    hidden: Linear,
    tanh: Activate,
    last: Linear,
}

/// Whether the network of the golden file has its batch-norms.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Norms {
    Batch,
    None,
}

impl Mixed {
    pub(crate) const CLASSES: usize = 5;

    pub(crate) fn build(store: &Store, mode: Mode, norms: Norms) -> Whole<Self> {
        let root = store.builder(mode);
        let at = |name: &str| root.pp(name);
        let act = |name: &str, activation| Activate::new(activation, &at(name));
        let conv =
            |config: Conv2dConfig, name: &str| -> Conv2d { config.build(&at(name)).unwrap() };
        let norm = |name: &str| -> Box<dyn Layer> {
            match norms {
                Norms::Batch => Box::new(BatchNorm2dConfig::new(6).build(&at(name)).unwrap()),
                Norms::None => Box::new(act(name, Activation::Identity)),
            }
        };
        let first = Conv2dConfig::new(3, 6, 3).with_padding(Padding::all(1));
        let second = Conv2dConfig::new(6, 6, 3)
            .with_padding(Padding::all(2))
            .with_dilation(2)
            .with_groups(2)
            .without_bias();
        let window = Window {
            stride: [2, 1],
            padding: Padding::all(1),
            ..Window::new([2, 2])
        };
        let linear = |from, to, name| LinearConfig::new(from, to).build(&at(name)).unwrap();
        let parts = Self {
            stem: [
                Box::new(conv(first, "conv1")),
                norm("bn1"),
                Box::new(act("relu", Activation::Relu)),
                Box::new(
                    MaxPool2d::new(3, 2)
                        .with_padding(Padding::all(1))
                        .at(&at("pool")),
                ),
            ],
            branch: [
                Box::new(conv(second, "conv2")),
                norm("bn2"),
                Box::new(act("silu", Activation::Silu)),
            ],
            add: Add::new(&at("add")),
            swish: act("swish", Activation::HardSwish),
            squeeze_excite: SqueezeExciteConfig::new(6, 3)
                .with_names("fc1", "fc2")
                .with_gate(Activation::HardSigmoid)
                .build(&at("se"))
                .unwrap(),
            pool: AvgPool2d::with_window(window, false).at(&at("mean")),
            gelu: act("gelu", Activation::Gelu),
            concat: Concat::new(&at("concat")),
            flatten: Flatten::new(&at("flatten")),
            hidden: linear(180, 12, "fc1"),
            tanh: act("tanh", Activation::Tanh),
            last: linear(12, Self::CLASSES, "fc2"),
        };
        Whole::new(parts, Self::CLASSES)
    }
}

fn chain(layers: &[Box<dyn Layer>], xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
    let mut layers = layers.iter();
    layers.try_fold(xs.clone(), |xs, layer| layer.forward(&xs, cx))
}

impl Parts for Mixed {
    fn maps(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let stem = chain(&self.stem, xs, cx)?;
        let sum = self
            .add
            .forward(&chain(&self.branch, &stem, cx)?, &stem, cx)?;
        let xs = self.swish.forward(&sum, cx)?;
        let xs = self
            .pool
            .forward(&self.squeeze_excite.forward(&xs, cx)?, cx)?;
        self.concat
            .forward(&[&xs, &self.gelu.forward(&xs, cx)?], cx)
    }

    fn scores(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let xs = self.hidden.forward(&self.flatten.forward(xs, cx)?, cx)?;
        self.last.forward(&self.tanh.forward_vectors(&xs, cx)?, cx)
    }
}
