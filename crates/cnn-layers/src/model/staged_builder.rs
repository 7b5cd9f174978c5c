//! The bookkeeping of a network that is a chain of stages.

use candle_core::Result;

use super::head::{Head, LinearHead};
use super::staged_backbone::{Stage, StagedBackbone};
use super::staged_classifier::{Auxiliary, StagedClassifier};
use crate::{Builder, Layer, LayerGroup, Sequential, StageInfo};

/// Collects the layers of a network and keeps count of what every model family would otherwise have
/// to repeat: stages with their channels and resolution, layer groups, and the probabilities of
/// stochastic depth.
///
/// All names that are passed in are relative to the root builder, so the network works under any
/// prefix.
///
/// ```
/// use cnn_layers::{
///     Activation, Backbone, BatchNorm2dConfig, Builder, Classifier, Conv2dConfig,
///     ConvNormActConfig, Mode, StagedBuilder, StagedClassifier, Store,
/// };
///
/// /// Two stages, each of a convolution that halves the resolution.
/// fn small(root: &Builder, classes: usize) -> candle_core::Result<StagedClassifier> {
///     let mut net = StagedBuilder::new(root, 3);
///     for (name, width) in [("layer1", 16), ("layer2", 32)] {
///         let conv = Conv2dConfig::new(net.channels(), width, 3).with_stride(2);
///         let unit =
///             ConvNormActConfig::new(conv, BatchNorm2dConfig::new(width), Activation::Relu);
///         let at = net.at(name);
///         net.group(name, &[name]);
///         net.add(unit.build(&at.pp(0), &at.pp(1))?)
///             .set_channels(width)
///             .add_stride(2);
///         net.end_stage(name);
///     }
///     net.linear_classifier("fc", classes, 0.)
/// }
///
/// let network = small(&Store::new(0).builder(Mode::Eval).pp("student"), 10)?;
/// assert_eq!((network.num_classes(), network.num_features()), (10, 32));
/// assert_eq!(network.stages()[1].module, "student.layer2");
/// assert_eq!(network.stages()[1].reduction, 4);
/// assert!(network.layer_groups()[2].contains("student.fc.weight"));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct StagedBuilder {
    root: Builder,
    stages: Vec<Stage>,
    infos: Vec<StageInfo>,
    /// The layers since the last stage's end.
    layers: Sequential,
    groups: Vec<LayerGroup>,
    /// Those of the head, but for the group that gives the scores.
    head_groups: Vec<LayerGroup>,
    auxiliary: Vec<Auxiliary>,
    channels: usize,
    reduction: usize,
    dilation: usize,
    /// The reduction beyond which strides become dilations.
    output_stride: usize,
    depth: StochasticDepth,
}

/// How a block moves over its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The stride of its strided convolution.
    pub stride: usize,
    /// The dilation of its convolutions.
    pub dilation: usize,
}

impl Step {
    /// To every `stride`th pixel, without dilation.
    pub const fn of_stride(stride: usize) -> Self {
        Self {
            stride,
            dilation: 1,
        }
    }
}

/// The probabilities of dropping residual branches (Huang et al. 2016).
#[derive(Debug, Clone, Copy, Default)]
struct StochasticDepth {
    rate: f64,
    /// The block, counted from 0, at which the rate is reached.
    full_at: usize,
    next_block: usize,
}

impl StagedBuilder {
    /// An empty network for images of `in_channels`.
    pub fn new(root: &Builder, in_channels: usize) -> Self {
        Self {
            root: root.clone(),
            stages: Vec::new(),
            infos: Vec::new(),
            layers: Sequential::new(),
            groups: Vec::new(),
            head_groups: Vec::new(),
            auxiliary: Vec::new(),
            channels: in_channels,
            reduction: 1,
            dilation: 1,
            output_stride: usize::MAX,
            depth: StochasticDepth::default(),
        }
    }

    /// Residual branches are dropped in training: block `i`, counted from 0, with probability
    /// `rate · i / full_at`. [`next_drop_path`](Self::next_drop_path) gives these one by one.
    #[must_use]
    pub fn with_drop_path(self, rate: f64, full_at: usize) -> Self {
        let depth = StochasticDepth {
            rate,
            full_at,
            next_block: 0,
        };
        Self { depth, ..self }
    }

    /// The maps are at most that many times smaller than the image: strides that would go beyond
    /// become dilations, so that the convolutions behind see what they saw (Chen et al. 2017,
    /// <https://arxiv.org/abs/1706.05587>). [`next_step`](Self::next_step) gives both.
    #[must_use]
    pub fn with_output_stride(self, output_stride: usize) -> Self {
        Self {
            output_stride,
            ..self
        }
    }

    /// The stride and the dilation of the next block, which has `stride` by its table. As in timm
    /// and torchvision's ResNets, the block whose stride is taken away still has the dilation of
    /// those before it; [`dilation`](Self::dilation) is that of those behind it.
    pub fn next_step(&mut self, stride: usize) -> Step {
        let dilation = self.dilation;
        if stride > 1 && self.reduction * stride > self.output_stride {
            self.dilation *= stride;
            return Step {
                stride: 1,
                dilation,
            };
        }
        Step { stride, dilation }
    }

    /// The dilation of the convolutions behind the blocks so far.
    pub fn dilation(&self) -> usize {
        self.dilation
    }

    /// The place called `name` below the network's root.
    pub fn at(&self, name: impl std::fmt::Display) -> Builder {
        self.root.pp(name)
    }

    /// Channels of the feature map so far: what the next layer reads.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The probability of dropping the branch of the next block: it is asked once per block, in
    /// order.
    pub fn next_drop_path(&mut self) -> f64 {
        let depth = &mut self.depth;
        let probability = depth.rate * depth.next_block as f64 / depth.full_at.max(1) as f64;
        depth.next_block += 1;
        probability
    }

    /// Adds a layer group made of these modules, which lie at one depth. Groups are added from the
    /// input on, each before the [`end_stage`](Self::end_stage) of its stage.
    pub fn group(&mut self, name: &str, modules: &[&str]) {
        let modules = self.paths(modules);
        self.groups.push(LayerGroup::new(name, modules));
    }

    /// Adds a layer group of the head: of layers between the last map and the one that gives the
    /// class scores, which a new number of classes leaves as they are. A backbone does without it.
    pub fn head_group(&mut self, name: &str, modules: &[&str]) {
        let modules = self.paths(modules);
        self.head_groups.push(LayerGroup::new(name, modules));
    }

    /// Adds a layer. Where its output has other channels or another resolution than its input,
    /// [`set_channels`](Self::set_channels) and [`add_stride`](Self::add_stride) say so.
    pub fn add(&mut self, layer: impl Layer + 'static) -> &mut Self {
        self.layers.push(layer);
        self
    }

    /// Feature maps have that many channels from here on.
    pub fn set_channels(&mut self, channels: usize) -> &mut Self {
        self.channels = channels;
        self
    }

    /// Feature maps have that many times fewer rows and columns from here on.
    pub fn add_stride(&mut self, stride: usize) -> &mut Self {
        self.reduction *= stride;
        self
    }

    /// Closes the current stage: its feature map, the output of `module`, is one of those that the
    /// backbone returns.
    pub fn end_stage(&mut self, module: &str) {
        self.infos.push(StageInfo {
            module: self.path(module),
            channels: self.channels,
            reduction: self.reduction,
        });
        self.stages.push(Stage {
            layers: std::mem::take(&mut self.layers),
            groups_so_far: self.groups.len(),
        });
    }

    /// Adds an auxiliary head, called `module`, that reads the feature map so far; its loss counts
    /// `weight` beside that of the main output. Its parameters lie below `module` and belong to the
    /// group `head`. It is computed by
    /// [`Classifier::forward_outputs`](crate::Classifier::forward_outputs) only.
    pub fn auxiliary(&mut self, module: &str, weight: f64, head: impl Head + 'static) {
        self.auxiliary.push(Auxiliary {
            name: module.to_string(),
            weight,
            stage: self.stages.len(),
            layers_before: self.layers.len(),
            head: Box::new(head),
        });
    }

    /// The network without a head, and without auxiliary ones. Layers that were added after the last
    /// [`end_stage`](Self::end_stage) run after the last stage in
    /// [`Backbone::forward_features`](crate::Backbone::forward_features) and are no stage.
    pub fn backbone(self) -> StagedBackbone {
        StagedBackbone {
            // All are returned until `StagedBackbone::select` picks some.
            selected: (0..self.stages.len()).collect(),
            stages: self.stages,
            infos: self.infos,
            tail: self.layers,
            groups: self.groups,
        }
    }

    /// The network with a head, which reads the channels so far, and the auxiliary heads. The head's
    /// parameters lie in these modules.
    pub fn classifier(
        mut self,
        num_classes: usize,
        modules: &[&str],
        head: impl Head + 'static,
    ) -> StagedClassifier {
        let num_features = self.channels;
        let auxiliary = std::mem::take(&mut self.auxiliary);
        let head_groups = std::mem::take(&mut self.head_groups);
        let of_heads = auxiliary.iter().map(|head| self.path(&head.name));
        let of_heads: Vec<String> = of_heads.chain(self.paths(modules)).collect();
        let backbone = self.backbone();
        let mut groups = backbone.groups.clone();
        groups.extend(head_groups);
        groups.push(LayerGroup::new("head", of_heads));
        StagedClassifier {
            backbone,
            head: Box::new(head),
            auxiliary,
            groups,
            num_features,
            num_classes,
        }
    }

    /// The network with global average pooling, dropout and the linear layer `name`.
    ///
    /// # Errors
    /// If `num_classes` is 0 or the probability of dropping a feature is not at least 0 and below 1.
    pub fn linear_classifier(
        self,
        name: &str,
        num_classes: usize,
        drop_rate: f64,
    ) -> Result<StagedClassifier> {
        let head = LinearHead::build(&self.root, name, self.channels, num_classes, drop_rate)?;
        Ok(self.classifier(num_classes, &[name], head))
    }

    /// The full path of a module.
    fn path(&self, module: &str) -> String {
        self.at(module).path().to_string()
    }

    fn paths(&self, modules: &[&str]) -> Vec<String> {
        modules.iter().map(|module| self.path(module)).collect()
    }
}
