//! What turns an image into maps: stages, parameter groups, and going on from a stage.

use candle_core::Result;

use crate::{Context, Error, FeatureMap, LayerGroup};

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
/// [`StagedBuilder`](crate::StagedBuilder) makes one from layers; implementing it by hand is for
/// networks that are no chain of stages.
///
/// Where timm has the architecture, stage `i` is output `i` of its `features_only=True`; else the
/// family's page says which map it is.
///
/// ```
/// use candle_core::{DType, Device, Result, Tensor};
/// use cnn_layers::{
///     Backbone, Context, Conv2d, Conv2dConfig, FeatureMap, Layer, LayerGroup, Mode, StageInfo,
///     Store,
/// };
///
/// /// Two convolutions, each of which halves the resolution.
/// struct Halving {
///     stages: Vec<StageInfo>,
///     groups: Vec<LayerGroup>,
///     convs: Vec<Conv2d>,
/// }
///
/// impl Backbone for Halving {
///     fn stages(&self) -> &[StageInfo] {
///         &self.stages
///     }
///
///     fn layer_groups(&self) -> &[LayerGroup] {
///         &self.groups
///     }
///
///     fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
///         let first = self.convs[0].forward(xs, cx)?;
///         let second = self.convs[1].forward(&first, cx)?;
///         Ok(vec![first, second])
///     }
///
///     fn forward_from(
///         &self,
///         stage: usize,
///         xs: &FeatureMap,
///         cx: &Context<'_>,
///     ) -> Result<FeatureMap> {
///         self.convs
///             .iter()
///             .skip(stage + 1)
///             .try_fold(xs.clone(), |xs, conv| conv.forward(&xs, cx))
///     }
/// }
///
/// let (store, cx) = (Store::new(0), Context::eval());
/// let conv = |from, to, name: &str| {
///     Conv2dConfig::new(from, to, 2)
///         .with_stride(2)
///         .build(&store.builder(Mode::Eval).pp(name))
/// };
/// let stage = |module: &str, channels, reduction| StageInfo {
///     module: module.to_string(),
///     channels,
///     reduction,
/// };
/// let network = Halving {
///     stages: vec![stage("conv1", 8, 2), stage("conv2", 16, 4)],
///     groups: vec![
///         LayerGroup::new("stage1", ["conv1"]),
///         LayerGroup::new("stage2", ["conv2"]),
///     ],
///     convs: vec![conv(3, 8, "conv1")?, conv(8, 16, "conv2")?],
/// };
///
/// let images = FeatureMap::from_nchw(&Tensor::zeros((1, 3, 32, 48), DType::F32, &Device::Cpu)?)?;
/// let first = network.forward_to(0, &images, &cx)?;
/// assert_eq!(first.dims(), [1, 16, 24, 8]);
/// assert_eq!(
///     network.forward_from(0, &first, &cx)?.dims(),
///     network.forward_features(&images, &cx)?.dims()
/// );
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Backbone: Send + Sync {
    /// The stages, from the input on.
    fn stages(&self) -> &[StageInfo];

    /// The parameters in groups by depth, from the input on. Each parameter is in exactly one; of a
    /// network with a head, the head is the last.
    fn layer_groups(&self) -> &[LayerGroup];

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

    /// The outputs of the stages behind `stage`, from its output: what a class activation map of a
    /// network that reads several stages needs. Default: nothing behind the last stage, and an error
    /// for the others.
    ///
    /// # Errors
    /// If the stage does not exist or the map does not fit; [`Error::NoLaterStages`] where the
    /// network does not have this method.
    fn forward_stages_from(
        &self,
        stage: usize,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        let _ = (xs, cx);
        if stage + 1 == self.stages().len() {
            Ok(Vec::new())
        } else {
            Err(Error::NoLaterStages { stage }.into())
        }
    }

    /// The outputs of all stages, of which those of the first ones are given: the last of them is
    /// where it goes on.
    ///
    /// # Errors
    /// [`Error::Stage`] if none are given or more than there are stages; those of
    /// [`forward_stages_from`](Self::forward_stages_from).
    fn complete_stages(
        &self,
        mut maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        let last = self.stages().len().saturating_sub(1);
        let given = maps.len();
        let Some(from) = maps.last().filter(|_| given <= last + 1) else {
            return Err(Error::Stage { stage: given, last }.into());
        };
        let later = self.forward_stages_from(given - 1, from, cx)?;
        maps.extend(later);
        Ok(maps)
    }

    /// The last map, which the head reads.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_features(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let last = self.stages().len().saturating_sub(1);
        self.forward_from(last, &self.forward_to(last, xs, cx)?, cx)
    }
}
