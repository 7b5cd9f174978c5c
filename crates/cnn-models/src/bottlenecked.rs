//! Any registered network with a bottleneck before its classes: what domain adaptation compares
//! (Transfer-Learning-Library's `ImageClassifier`; Long et al. 2015, arXiv:1502.02791).
//!
//! The last map is averaged, or read whole where its size is said (`map_size`), and becomes a
//! vector of `width` features by a convolution over all of it, batch normalisation and ReLU; one
//! linear layer makes scores of that.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Activation, Backbone, BatchNorm2dConfig, Builder, Classifier, Context, Conv2dConfig,
    ConvNormAct, ConvNormActConfig, Dropout, FeatureMap, Flatten, GlobalAvgPool2d, Layer,
    LayerGroup, Linear, LinearConfig, StageInfo,
};

use crate::model_spec::Body;
use crate::segmentation::BackboneArgs;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "bottleneck",
    family: FAMILY,
    paper: "Long et al. 2015, arXiv:1502.02791",
    build: Build::Classifier(|config, root| Ok(Box::new(Bottlenecked::build(config, root)?))),
    parameters: 11_565_352,
    multiply_adds: 1_813_948_416,
    preset: preset::imagenet,
    num_classes: 1000,
    classifier: "head",
    body: Some(BODY),
    ..ModelSpec::OWN
}];

const FAMILY: &str = "bottleneck";
const BODY: Body = Body {
    arg: "backbone",
    default: "resnet18",
    path: "backbone",
};
/// Features behind the bottleneck; the Transfer-Learning-Library's.
const WIDTH: usize = 256;

/// A classifier whose scores are a linear function of the features behind a bottleneck.
///
/// Arguments of its configuration: `backbone` and `backbone_args`, `width` (256), `map_size` (rows
/// and columns of the last map where that is read whole; 0, the default, for its average) and
/// `drop_rate` before the scores (0).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{Classifier, Context, FeatureMap, Mode, Store};
/// use cnn_models::{Bottlenecked, ModelConfig};
///
/// let config = ModelConfig { num_classes: Some(5), ..ModelConfig::default() };
/// let config = config.with_arg("backbone", "mobilenetv2_035").with_arg("width", 64.);
/// let store = Store::new(0);
/// let network = Bottlenecked::build(&config, &store.builder(Mode::Eval))?;
///
/// let images = Tensor::zeros((2, 3, 64, 64), DType::F32, &Device::Cpu)?;
/// let images = FeatureMap::from_nchw(&images)?;
/// let features = network.features(&images, &Context::eval())?;
/// assert_eq!(features.dims(), [2, 64]);
/// assert_eq!(network.scores(&features, &Context::eval())?.dims(), [2, 5]);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Bottlenecked {
    backbone: Box<dyn Backbone>,
    groups: Vec<LayerGroup>,
    /// Channels of the last map.
    channels: usize,
    classes: usize,
    /// The average of the last map; `None` where it is read whole.
    pool: Option<GlobalAvgPool2d>,
    bottleneck: ConvNormAct,
    flatten: Flatten,
    dropout: Dropout,
    head: Linear,
}

impl Bottlenecked {
    /// Builds it at a place of a store: `backbone`, `bottleneck.0` (convolution), `bottleneck.1`
    /// (norm) and `head`.
    ///
    /// # Errors
    /// If an argument is out of its range, or the backbone is no registered chain of stages.
    pub fn build(config: &ModelConfig, root: &Builder) -> std::result::Result<Self, Error> {
        let args = config.read_args(FAMILY, |args| {
            Ok(Args {
                backbone: BackboneArgs::read_at(args, BODY.default, BODY.path)?,
                width: args.count("width", 1..=1 << 16)?.unwrap_or(WIDTH),
                map_size: args.count("map_size", 0..=1 << 12)?.unwrap_or(0),
                drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            })
        })?;
        let last = args.backbone.last(config, root)?;
        let classes = config.num_classes.unwrap_or(MODELS[0].num_classes);
        let at = root.pp("bottleneck");
        let width = at.pp(0).width(args.width);
        let pool = GlobalAvgPool2d::new().at(&root.pp("global_pool"));
        let conv = Conv2dConfig::new(last.channels, width, args.map_size.max(1));
        let norm = BatchNorm2dConfig::new(width);
        let bottleneck = ConvNormActConfig::new(conv, norm, Activation::Relu).with_conv_bias();
        let mut groups = last.backbone.layer_groups().to_vec();
        groups.push(LayerGroup::new("bottleneck", [at.path()]));
        groups.push(LayerGroup::new("head", [root.pp("head").path()]));
        Ok(Self {
            backbone: last.backbone,
            groups,
            channels: last.channels,
            classes,
            pool: (args.map_size == 0).then_some(pool),
            bottleneck: bottleneck.build(&at.pp(0), &at.pp(1))?,
            flatten: Flatten::new(&root.pp("flatten")),
            dropout: Dropout::new(args.drop_rate, &root.pp("head_drop"))?,
            head: LinearConfig::new(width, classes).build(&root.pp("head"))?,
        })
    }

    /// The features behind the bottleneck, `(N, H, W, C)` to `(N, width)`.
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn features(&self, images: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        self.narrowed(&self.backbone.forward_features(images, cx)?, cx)
    }

    /// The scores of such features, `(N, width)` to `(N, classes)`.
    ///
    /// # Errors
    /// If the features do not fit.
    pub fn scores(&self, features: &Tensor, cx: &Context<'_>) -> Result<Tensor> {
        let features = self.dropout.forward_vectors(features, cx)?;
        self.head.forward(&features, cx)
    }

    /// The features of the last map.
    fn narrowed(&self, last: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let input = self.head_input(last, cx)?;
        self.flatten
            .forward(&self.bottleneck.forward(&input, cx)?, cx)
    }
}

/// What its configuration says.
struct Args {
    backbone: BackboneArgs,
    width: usize,
    map_size: usize,
    drop_rate: f64,
}

impl Backbone for Bottlenecked {
    fn stages(&self) -> &[StageInfo] {
        self.backbone.stages()
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        self.backbone.forward_stages(xs, cx)
    }

    fn forward_to(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.backbone.forward_to(stage, xs, cx)
    }

    fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.backbone.forward_from(stage, xs, cx)
    }

    fn forward_stages_from(
        &self,
        stage: usize,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        self.backbone.forward_stages_from(stage, xs, cx)
    }

    fn forward_features(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.backbone.forward_features(xs, cx)
    }
}

impl Classifier for Bottlenecked {
    fn num_classes(&self) -> usize {
        self.classes
    }

    fn num_features(&self) -> usize {
        self.channels
    }

    fn head_input(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match &self.pool {
            Some(pool) => pool.forward(features, cx),
            None => Ok(features.clone()),
        }
    }

    fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        self.scores(&self.narrowed(features, cx)?, cx)
    }
}
