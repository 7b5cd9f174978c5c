//! The bookkeeping of a network that is a chain of stages.

use candle_core::Result;

use super::head::{Head, LinearHead};
use super::staged_backbone::{Stage, StagedBackbone};
use super::staged_classifier::{Auxiliary, StagedClassifier};
use crate::{Builder, Layer, LayerGroup, Sequential, StageInfo};

/// Collects the layers of a network and keeps count of what every family would else restate:
/// stages with their channels and resolution, parameter groups, and the depth that stochastic depth
/// goes by.
///
/// Names are those below the builder that it was made with, so that a network works under any
/// prefix.
///
/// ```
/// use cnn_layers::{
///     Activation, Backbone, BatchNorm2dConfig, Builder, Classifier, Conv2dConfig, ConvNormActConfig,
///     Mode, StagedBuilder, StagedClassifier, Store,
/// };
///
/// /// Two stages, each of a convolution that halves the resolution.
/// fn small(root: &Builder, classes: usize) -> candle_core::Result<StagedClassifier> {
///     let mut net = StagedBuilder::new(root, 3);
///     for (name, width) in [("layer1", 16), ("layer2", 32)] {
///         let conv = Conv2dConfig::new(net.channels(), width, 3).with_stride(2);
///         let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(width), Activation::Relu);
///         let at = net.at(name);
///         net.group(name, &[name]);
///         net.add(unit.build(&at.pp(0), &at.pp(1))?).to_channels(width).by_stride(2);
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
    auxiliary: Vec<Auxiliary>,
    auxiliary_modules: Vec<String>,
    channels: usize,
    reduction: usize,
    drop_path: StochasticDepth,
}

/// The probabilities of dropping residual branches (Huang et al. 2016): they rise from 0 at the
/// first block to the rate at the end.
#[derive(Debug, Clone, Copy, Default)]
struct StochasticDepth {
    rate: f64,
    blocks: usize,
    next: usize,
}

impl StagedBuilder {
    /// No layer yet; images have `in_channels`.
    pub fn new(root: &Builder, in_channels: usize) -> Self {
        Self {
            root: root.clone(),
            stages: Vec::new(),
            infos: Vec::new(),
            layers: Sequential::new(),
            groups: Vec::new(),
            auxiliary: Vec::new(),
            auxiliary_modules: Vec::new(),
            channels: in_channels,
            reduction: 1,
            drop_path: StochasticDepth::default(),
        }
    }

    /// Residual branches are dropped in training with a probability that rises to `rate` over that
    /// many blocks; [`StagedBuilder::drop_path`] gives each block's.
    #[must_use]
    pub fn with_drop_path(self, rate: f64, blocks: usize) -> Self {
        let drop_path = StochasticDepth {
            rate,
            blocks,
            next: 0,
        };
        Self { drop_path, ..self }
    }

    /// The place called `name` below the network's root.
    pub fn at(&self, name: impl std::fmt::Display) -> Builder {
        self.root.pp(name)
    }

    /// Channels of the map so far: what the next layer reads.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The probability of dropping the branch of the next block.
    pub fn drop_path(&mut self) -> f64 {
        let StochasticDepth { rate, blocks, next } = &mut self.drop_path;
        let probability = *rate * *next as f64 / (*blocks).max(1) as f64;
        *next += 1;
        probability
    }

    /// Begins a parameter group: the modules, named below the root, that lie at one depth. Groups
    /// go from the input on.
    pub fn group(&mut self, name: &str, modules: &[&str]) {
        let modules = modules
            .iter()
            .map(|module| self.at(module).path().to_string());
        self.groups.push(LayerGroup::new(name, modules));
    }

    /// Adds a layer. Where its output has other channels or another resolution than its input,
    /// [`to_channels`](Self::to_channels) and [`by_stride`](Self::by_stride) say so.
    pub fn add(&mut self, layer: impl Layer + 'static) -> &mut Self {
        self.layers.push(layer);
        self
    }

    /// The map has that many channels from here on.
    pub fn to_channels(&mut self, channels: usize) -> &mut Self {
        self.channels = channels;
        self
    }

    /// The map has that many times fewer rows and columns from here on.
    pub fn by_stride(&mut self, stride: usize) -> &mut Self {
        self.reduction *= stride;
        self
    }

    /// Ends a stage: the map so far, the output of `module`, is one that the backbone gives.
    pub fn end_stage(&mut self, module: &str) {
        self.infos.push(StageInfo {
            module: self.at(module).path().to_string(),
            channels: self.channels,
            reduction: self.reduction,
        });
        self.stages.push(Stage {
            layers: std::mem::take(&mut self.layers),
            groups: self.groups.len(),
        });
    }

    /// Adds an auxiliary head that reads the map so far. Its parameters, below `module`, belong to
    /// the head's group. It is computed by
    /// [`Classifier::forward_outputs`](crate::Classifier::forward_outputs) alone.
    pub fn auxiliary(&mut self, module: &str, head: impl Head + 'static) {
        self.auxiliary_modules
            .push(self.at(module).path().to_string());
        self.auxiliary.push(Auxiliary {
            name: module.to_string(),
            stage: self.stages.len(),
            layers: self.layers.len(),
            head: Box::new(head),
        });
    }

    /// The network without a head. Layers since the last stage's end follow it in
    /// [`Backbone::forward_features`](crate::Backbone::forward_features).
    pub fn backbone(self) -> StagedBackbone {
        StagedBackbone {
            selected: (0..self.stages.len()).collect(),
            stages: self.stages,
            infos: self.infos,
            tail: self.layers,
            groups: self.groups,
        }
    }

    /// The network with a head whose parameters lie in these modules, named below the root.
    pub fn classifier(
        mut self,
        num_classes: usize,
        modules: &[&str],
        head: impl Head + 'static,
    ) -> StagedClassifier {
        let num_features = self.channels;
        let auxiliary = std::mem::take(&mut self.auxiliary);
        let mut head_modules = std::mem::take(&mut self.auxiliary_modules);
        head_modules.extend(
            modules
                .iter()
                .map(|module| self.at(module).path().to_string()),
        );
        let head_group = LayerGroup::new("head", head_modules);
        let backbone = self.backbone();
        let groups = backbone
            .groups
            .iter()
            .cloned()
            .chain([head_group])
            .collect();
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
    /// If `num_classes` is 0 or the probability of dropping a feature is not in `0..1`.
    pub fn linear_classifier(
        self,
        name: &str,
        num_classes: usize,
        drop_rate: f64,
    ) -> Result<StagedClassifier> {
        let head = LinearHead::build(&self.root, name, self.channels, num_classes, drop_rate)?;
        Ok(self.classifier(num_classes, &[name], head))
    }
}
