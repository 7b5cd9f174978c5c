//! What every model can do: give its stages, go on from one of them, and classify.

use candle_core::{Result, Tensor};

use crate::{Context, Error, FeatureMap};

/// One stage of a backbone: layers that work at one resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageInfo {
    /// Path of the module whose output it is, as `layer1`.
    pub module: String,
    /// Channels of its output.
    pub channels: usize,
    /// How many input pixels one output pixel stands for, along each axis.
    pub reduction: usize,
}

/// A network that turns an image into maps, stage by stage. Object-safe.
///
/// Where timm has the architecture, stage `i` is output `i` of its `features_only=True`; else the
/// family's page says which map it is.
///
/// ```
/// use candle_core::{DType, Device, Result, Tensor};
/// use cnn_layers::{Backbone, Context, Conv2d, Conv2dConfig, FeatureMap, Layer, Mode, StageInfo, Store};
///
/// /// Two convolutions, each of which halves the resolution.
/// struct Halving {
///     stages: Vec<StageInfo>,
///     convs: Vec<Conv2d>,
/// }
///
/// impl Backbone for Halving {
///     fn stages(&self) -> &[StageInfo] {
///         &self.stages
///     }
///
///     fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
///         let first = self.convs[0].forward(xs, cx)?;
///         let second = self.convs[1].forward(&first, cx)?;
///         Ok(vec![first, second])
///     }
///
///     fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
///         self.convs.iter().skip(stage + 1).try_fold(xs.clone(), |xs, conv| conv.forward(&xs, cx))
///     }
/// }
///
/// let (store, cx) = (Store::new(0), Context::eval());
/// let conv = |from, to, name: &str| Conv2dConfig::new(from, to, 2).with_stride(2).build(&store.builder(Mode::Eval).pp(name));
/// let stage = |module: &str, channels, reduction| StageInfo { module: module.to_string(), channels, reduction };
/// let network = Halving {
///     stages: vec![stage("conv1", 8, 2), stage("conv2", 16, 4)],
///     convs: vec![conv(3, 8, "conv1")?, conv(8, 16, "conv2")?],
/// };
///
/// let images = FeatureMap::from_nchw(&Tensor::zeros((1, 3, 32, 48), DType::F32, &Device::Cpu)?)?;
/// let first = network.forward_to(0, &images, &cx)?;
/// assert_eq!(first.dims(), [1, 16, 24, 8]);
/// assert_eq!(network.forward_from(0, &first, &cx)?.dims(), network.forward_features(&images, &cx)?.dims());
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Backbone: Send + Sync {
    /// The stages, from the input on.
    fn stages(&self) -> &[StageInfo];

    /// The outputs of all stages.
    ///
    /// # Shapes
    /// `xs` `(N, H, W, C)` to maps of `stages()[i].channels` channels, `H / reduction` rows
    /// (rounded as the layers do).
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>>;

    /// The output of one stage, which [`forward_from`](Self::forward_from) goes on from; later
    /// stages are not computed where the model can stop there.
    ///
    /// # Errors
    /// If the stage does not exist or the input does not fit.
    fn forward_to(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let mut stages = self.forward_stages(xs, cx)?;
        if stage >= stages.len() {
            return Err(Error::Stage {
                stage,
                last: stages.len().saturating_sub(1),
            }
            .into());
        }
        Ok(stages.swap_remove(stage))
    }

    /// Goes on from the output of `stage` and returns the last map, which the head reads: where a
    /// class activation map cuts the graph.
    ///
    /// # Errors
    /// If the stage does not exist or the map does not fit.
    fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap>;

    /// The last map, which the head reads.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_features(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let last = self.stages().len().saturating_sub(1);
        self.forward_from(last, &self.forward_to(last, xs, cx)?, cx)
    }
}

/// A backbone with a classification head.
///
/// ```
/// use candle_core::{DType, Device, Result, Tensor};
/// use cnn_layers::{
///     Backbone, Classifier, Context, Conv2d, Conv2dConfig, FeatureMap, GlobalAvgPool2d, Layer, Linear, LinearConfig, Mode,
///     ParameterGroup, StageInfo, Store,
/// };
///
/// /// A convolution, and a linear layer on the mean of its map.
/// struct Small {
///     stages: [StageInfo; 1],
///     conv: Conv2d,
///     pool: GlobalAvgPool2d,
///     head: Linear,
/// }
///
/// impl Backbone for Small {
///     fn stages(&self) -> &[StageInfo] {
///         &self.stages
///     }
///
///     fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
///         Ok(vec![self.conv.forward(xs, cx)?])
///     }
///
///     fn forward_from(&self, _: usize, xs: &FeatureMap, _: &Context<'_>) -> Result<FeatureMap> {
///         Ok(xs.clone()) // nothing comes after the only stage
///     }
/// }
///
/// impl Classifier for Small {
///     fn num_classes(&self) -> usize {
///         10
///     }
///
///     fn num_features(&self) -> usize {
///         self.stages[0].channels
///     }
///
///     fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
///         self.head.forward(&self.pool.forward(features, cx)?.flatten()?, cx)
///     }
///
///     fn parameter_groups(&self) -> Vec<ParameterGroup> {
///         vec![ParameterGroup::new("stem", ["conv"]), ParameterGroup::new("head", ["head"])]
///     }
/// }
///
/// let store = Store::new(0);
/// let root = store.builder(Mode::Eval);
/// let network = Small {
///     stages: [StageInfo { module: "conv".to_string(), channels: 16, reduction: 1 }],
///     conv: Conv2dConfig::new(3, 16, 3).build(&root.pp("conv"))?,
///     pool: GlobalAvgPool2d::new(&root.pp("pool")),
///     head: LinearConfig::new(16, 10).build(&root.pp("head"))?,
/// };
/// let images = FeatureMap::from_nchw(&Tensor::zeros((2, 3, 20, 28), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(network.forward(&images, &Context::eval())?.dims(), [2, 10]);
/// assert!(store.names().iter().all(|name| network.parameter_groups().iter().any(|group| group.contains(name))));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Classifier: Backbone {
    /// Number of classes.
    fn num_classes(&self) -> usize;

    /// Channels of the last map, which the head reads.
    fn num_features(&self) -> usize;

    /// The least that the head needs of the last map, as a map that
    /// [`forward_head`](Self::forward_head) gives the same scores for: `(N, 1, 1, C)` where the
    /// head begins with global average pooling. Default: the map itself.
    ///
    /// # Errors
    /// If the map does not fit.
    fn head_input(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let _ = cx;
        Ok(features.clone())
    }

    /// Class scores from the last map.
    ///
    /// # Shapes
    /// `(N, H, W, C)` to `(N, num_classes)`.
    ///
    /// # Errors
    /// If the map does not fit.
    fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor>;

    /// The parameters in groups by depth, from the input to the head, which is the last group. Each
    /// parameter is in exactly one.
    fn parameter_groups(&self) -> Vec<ParameterGroup>;

    /// Class scores of images.
    ///
    /// # Shapes
    /// `(N, H, W, C)` to logits `(N, num_classes)`.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        self.forward_head(&self.forward_features(xs, cx)?, cx)
    }
}

/// Parameters at one depth of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterGroup {
    /// `stem`, `stage1`…, `head`.
    pub name: String,
    /// The modules that belong to it, as `layer1` or `features.0`.
    pub modules: Vec<String>,
}

impl ParameterGroup {
    /// A group of modules.
    pub fn new(
        name: impl Into<String>,
        modules: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            modules: modules.into_iter().map(Into::into).collect(),
        }
    }

    /// Whether the parameter called `name` lies in one of the group's modules.
    pub fn contains(&self, name: &str) -> bool {
        self.modules.iter().any(|module| {
            name.strip_prefix(module.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}
