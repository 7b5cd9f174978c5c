//! What is known of a model before it is built.

use cnn_core::Preprocessing;
use cnn_layers::{Backbone, Builder, Classifier, Detector, Segmenter, StagedClassifier};

use crate::weight_source::{WeightSource, weights_of};
use crate::{Error, Kind, Model, ModelConfig, ModelKind, find, preset};

/// A model: its name, how it is built, and what its files look like. The registered ones are
/// [`models`](crate::models); one of your own is a constant, and everything that takes a network
/// takes both.
///
/// ```
/// use cnn_layers::{Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormActConfig, StagedBuilder, StagedClassifier};
/// use cnn_models::{Build, Error, LoadOptions, ModelConfig, ModelSpec, Network, preset};
///
/// const TINY: ModelSpec = ModelSpec {
///     name: "tiny",
///     build: Build::Staged(tiny),
///     preset: preset::cifar10,
///     num_classes: 10,
///     first_conv: "stem.0",
///     classifier: "fc",
///     ..ModelSpec::OWN
/// };
///
/// fn tiny(config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
///     let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(TINY.in_channels));
///     let conv = Conv2dConfig::new(net.channels(), 8, 3).with_stride(2);
///     let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(8), Activation::Relu);
///     let at = net.at("stem");
///     net.group("stem", &["stem"]);
///     net.add(unit.build(&at.pp(0), &at.pp(1))?).set_channels(8).add_stride(2);
///     net.end_stage("stem");
///     Ok(net.linear_classifier("fc", config.num_classes.unwrap_or(TINY.num_classes), 0.)?)
/// }
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let network = Network::of(TINY, &ModelConfig::default(), 0)?;
/// network.save(directory)?;
/// assert_eq!(Network::load(directory, &LoadOptions::of(TINY))?.model().num_classes(), 10);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ModelSpec {
    /// Name, timm's where timm has the model.
    pub name: &'static str,
    /// Family, as `resnet`.
    pub family: &'static str,
    /// Where the architecture was published.
    pub paper: &'static str,
    /// Builds it over a store; what it gives is the model's kind.
    pub build: Build,
    /// Learnable values with the default number of classes, auxiliary heads aside; 0 where nobody
    /// counted.
    pub parameters: usize,
    /// Multiply-adds of the convolutions and linear layers for one image of the default size; 0
    /// where nobody counted.
    pub multiply_adds: u64,
    /// Default preprocessing.
    pub preset: fn() -> Preprocessing,
    /// Default number of classes.
    pub num_classes: usize,
    /// Names of the default classes; empty for ImageNet's, which are data.
    pub labels: &'static [&'static str],
    /// Default channels of the input.
    pub in_channels: usize,
    /// The module that reads the image.
    pub first_conv: &'static str,
    /// How many pixels of the image it reads as channels of one: 4 where
    /// [`SpaceToDepth`](cnn_layers::SpaceToDepth) goes before it. Default 1.
    pub pixels_per_channel: usize,
    /// Others that do, as further branches of the first block, or `first_conv` under another name in
    /// another form of the model; none for most. A form need not have all of them.
    pub other_first_convs: &'static [&'static str],
    /// The module that gives the class scores.
    pub classifier: &'static str,
    /// How many outputs it has for so many classes. Default [`ClassOutputs::ONE_EACH`].
    pub class_outputs: ClassOutputs,
    /// The modules of its auxiliary heads, which are there for its training: those that the argument
    /// `aux_logits` of the configuration adds or leaves out. A weight file need not have them.
    pub auxiliary: &'static [&'static str],
    /// How other libraries name the tensors of this model, where they name them otherwise.
    pub namings: &'static [Naming],
    /// Of a model over a registered one that its configuration chooses: where that is.
    pub body: Option<Body>,
    /// Of a large model: the configuration of a smaller network with every kind of its layers, as
    /// one with fewer blocks in each row of its table, or with a narrower head. Tests that would
    /// take long with the whole one run that; the default is the model itself.
    pub reduced: fn() -> ModelConfig,
}

/// How many outputs the module that gives the class scores has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassOutputs {
    /// How many boxes of a place it scores, 1 where it is not of boxes.
    pub boxes: usize,
    /// Whether there is a score of the background beside those of the classes.
    pub has_background: bool,
}

impl ClassOutputs {
    /// One for each class.
    pub const ONE_EACH: Self = Self {
        boxes: 1,
        has_background: false,
    };

    /// For so many boxes of a place, with the background.
    pub const fn of_boxes(boxes: usize) -> Self {
        Self {
            boxes,
            has_background: true,
        }
    }

    /// The number of classes of a module with so many outputs; `None` where no number has them.
    ///
    /// ```
    /// use cnn_models::ClassOutputs;
    ///
    /// let of_ssd = ClassOutputs::of_boxes(4);
    /// assert_eq!(of_ssd.classes(4 * 91), Some(90));
    /// assert_eq!(of_ssd.classes(90), None);
    /// ```
    pub fn classes(self, outputs: usize) -> Option<usize> {
        let scores = outputs
            .is_multiple_of(self.boxes)
            .then(|| outputs / self.boxes)?;
        scores.checked_sub(usize::from(self.has_background))
    }
}

/// A registered model within another, which the configuration chooses.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// The argument of [`ModelConfig::args`] that has its name.
    pub arg: &'static str,
    /// The model where nothing is said of it.
    pub default: &'static str,
    /// The path below which it lies.
    pub path: &'static str,
}

/// How another library names the tensors of a model, and what its files are built with.
///
/// A weight file with such names loads under the model's own. A tensor whose values are laid out as
/// the model's are, but under another shape (the weight of a linear layer for that of a convolution
/// over the whole map), takes the model's shape.
#[derive(Debug, Clone, Copy)]
pub struct Naming {
    /// The library, as `torchvision`.
    pub library: &'static str,
    /// The model's own name of a tensor; `None` for names that are not this library's.
    pub rename: fn(&str) -> Option<String>,
    /// What its files are built with where no `config.json` says otherwise, as `("bn_eps", 1e-3)`:
    /// arguments of [`ModelConfig::args`].
    pub args: &'static [(&'static str, f64)],
}

/// The argument of timm and torchvision that says whether a model has its auxiliary heads.
const AUX_LOGITS: &str = "aux_logits";

/// Builds a model over a store, at a place below which its names begin.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Build {
    /// A chain of stages with a classification head, as
    /// [`StagedBuilder`](cnn_layers::StagedBuilder) makes it. It can be had without its head.
    Staged(BuildFn<StagedClassifier>),
    /// Any classifier.
    Classifier(BuildFn<Box<dyn Classifier>>),
    /// A network that tells the class of every pixel.
    Segmenter(BuildFn<Box<dyn Segmenter>>),
    /// A network that finds objects.
    Detector(BuildFn<Box<dyn Detector>>),
}

/// Builds a model from its configuration at a place of a store.
pub type BuildFn<M> = fn(&ModelConfig, &Builder) -> Result<M, Error>;

impl ModelSpec {
    /// A model of your own, for `..` in its constant: three input channels, ImageNet's
    /// preprocessing at 224×224, tensor names that stay. Name, build function, number of classes,
    /// first convolution and classifier are still to be said.
    pub const OWN: Self = Self {
        name: "",
        family: "own",
        paper: "",
        build: Build::Staged(|_, _| {
            Err(Error::NotSaid {
                what: "`build` of its `ModelSpec`",
            })
        }),
        parameters: 0,
        multiply_adds: 0,
        preset: preset::imagenet,
        num_classes: 1000,
        labels: &[],
        in_channels: 3,
        first_conv: "",
        pixels_per_channel: 1,
        other_first_convs: &[],
        classifier: "",
        class_outputs: ClassOutputs::ONE_EACH,
        auxiliary: &[],
        namings: &[],
        body: None,
        reduced: ModelConfig::default,
    };

    /// The configuration of the model's reduced form: of the model itself, unless it is large and
    /// has one.
    ///
    /// ```
    /// use cnn_layers::{Mode, Store};
    /// use cnn_models::find;
    ///
    /// let large = find("efficientnet_b7")?;
    /// let store = Store::new(0);
    /// large.build_classifier(&large.reduced_config(), &store.builder(Mode::Eval))?;
    /// assert!(store.parameter_count() < large.parameters / 3);
    /// # Ok::<(), cnn_models::Error>(())
    /// ```
    pub fn reduced_config(&self) -> ModelConfig {
        (self.reduced)()
    }

    /// What the model is for.
    pub fn kind(&self) -> Kind {
        match self.build {
            Build::Staged(_) | Build::Classifier(_) => Kind::Classification,
            Build::Segmenter(_) => Kind::Segmentation,
            Build::Detector(_) => Kind::Detection,
        }
    }

    /// The model over a store, whatever its kind.
    ///
    /// # Errors
    /// If the configuration has something that the model does not use, or a number out of range.
    pub fn build_any(&self, config: &ModelConfig, root: &Builder) -> Result<Model, Error> {
        Ok(match self.build {
            Build::Staged(_) => Model::Classifier(Box::new(self.build_staged(config, root)?)),
            Build::Classifier(build) => Model::Classifier(self.with_widths(config, root, build)?),
            Build::Segmenter(build) => Model::Segmenter(self.with_widths(config, root, build)?),
            Build::Detector(build) => Model::Detector(self.with_widths(config, root, build)?),
        })
    }

    /// The model over a store, as one of a kind: `spec.build::<dyn Segmenter>(…)`.
    ///
    /// # Errors
    /// As [`ModelSpec::build_any`], and [`Error::OtherKind`] for a model of another kind.
    pub fn build<M: ModelKind + ?Sized>(
        &self,
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<Box<M>, Error> {
        let other = Error::OtherKind {
            model: self.name,
            found: self.kind(),
            expected: M::KIND,
        };
        // Before anything is built, which takes memory.
        if self.kind() != M::KIND {
            return Err(other);
        }
        M::of(self.build_any(config, root)?).ok_or(other)
    }

    /// The classifier over a store.
    ///
    /// # Errors
    /// As [`ModelSpec::build`].
    pub fn build_classifier(
        &self,
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<Box<dyn Classifier>, Error> {
        self.build(config, root)
    }

    /// The backbone without a head, at any place of a store, for networks that put something else
    /// on it. `stages` are those that it gives, counted from 0 (timm's `out_indices`); layers behind
    /// the last of them are left out. `None`: all stages, and what follows them.
    ///
    /// ```
    /// use cnn_layers::{Mode, Store};
    /// use cnn_models::{ModelConfig, find};
    ///
    /// let store = Store::new(0);
    /// let root = store.builder(Mode::Eval);
    /// let backbone = find("resnet18")?.build_backbone(&ModelConfig::default(), &root.pp("backbone"), Some(&[1, 2]))?;
    /// assert_eq!(backbone.stages()[1].module, "backbone.layer2");
    /// assert!(store.names().iter().all(|name| !name.contains("layer3") && !name.contains("fc")));
    /// # Ok::<(), cnn_models::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`ModelSpec::build_classifier`]; if there is no such stage; and [`Error::NoBackbone`] for
    /// a classifier that was not built in stages.
    pub fn build_backbone(
        &self,
        config: &ModelConfig,
        root: &Builder,
        stages: Option<&[usize]>,
    ) -> Result<Box<dyn Backbone>, Error> {
        let Build::Staged(_) = self.build else {
            return Err(Error::NoBackbone { model: self.name });
        };
        let before = root.store().names();
        let mut backbone = self.build_staged(config, root)?.into_backbone();
        if let Some(stages) = stages {
            backbone = backbone.select(stages)?;
        }
        let groups = backbone.layer_groups();
        root.store().remove(|name| {
            let is_part = groups.iter().any(|group| group.contains(name));
            !is_part && !before.iter().any(|known| known == name)
        });
        Ok(Box::new(backbone))
    }

    fn build_staged(
        &self,
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<StagedClassifier, Error> {
        match self.build {
            Build::Staged(build) => self.with_widths(config, root, build),
            Build::Classifier(_) | Build::Segmenter(_) | Build::Detector(_) => {
                Err(Error::NoBackbone { model: self.name })
            }
        }
    }

    /// Builds with the configuration's widths, all of which have to be used.
    fn with_widths<M>(
        &self,
        config: &ModelConfig,
        root: &Builder,
        build: BuildFn<M>,
    ) -> Result<M, Error> {
        if config.widths.is_empty() {
            return build(config, root);
        }
        let root = root.with_widths(&config.widths);
        let model = build(config, &root)?;
        match root.unused_widths().into_iter().next() {
            None => Ok(model),
            Some(layer) => Err(Error::UnknownWidth {
                model: self.name,
                layer,
            }),
        }
    }

    /// Whether all is said that a network needs.
    ///
    /// # Errors
    /// [`Error::NotSaid`] for the first that is missing.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let first_conv = self.body.map_or(self.first_conv, |body| body.path);
        for (said, what) in [
            (self.name, "`name` of its `ModelSpec`"),
            (first_conv, "`first_conv` of its `ModelSpec`"),
            (self.classifier, "`classifier` of its `ModelSpec`"),
        ] {
            if said.is_empty() {
                return Err(Error::NotSaid { what });
            }
        }
        Ok(())
    }

    /// The modules that read the image in a model of this configuration; a form of the model need not
    /// have all of them, and a model within it that is unknown has none.
    pub fn first_convs(&self, config: &ModelConfig) -> Vec<String> {
        if let Some(Body { arg, default, path }) = self.body {
            let chosen = config.args.get(arg).and_then(|name| name.as_str());
            return match find(chosen.unwrap_or(default)) {
                Ok(body) => {
                    let own = body.first_convs(&ModelConfig::default());
                    own.iter().map(|name| format!("{path}.{name}")).collect()
                }
                Err(_) => Vec::new(),
            };
        }
        let others = self.other_first_convs.iter().copied();
        std::iter::once(self.first_conv)
            .chain(others)
            .map(ToString::to_string)
            .collect()
    }

    /// Whether a tensor is the weight of one of these modules, which read the image.
    pub(crate) fn reads_image(first_convs: &[String], tensor: &str) -> bool {
        let module = tensor.strip_suffix(".weight");
        module.is_some_and(|module| first_convs.iter().any(|first| first == module))
    }

    /// Says in a configuration that says nothing of it whether the model has its auxiliary heads, and
    /// whether that was to be said.
    pub(crate) fn declare_auxiliary(&self, config: &mut ModelConfig, has_heads: bool) -> bool {
        let is_open = !self.auxiliary.is_empty() && !config.args.contains_key(AUX_LOGITS);
        if is_open {
            config.args.insert(AUX_LOGITS.to_string(), has_heads.into());
        }
        is_open
    }

    /// Where pretrained weights are published.
    pub fn weights(&self) -> &'static [WeightSource] {
        weights_of(self.name)
    }

    /// The model's own name of a tensor that another library named, and how that names them; `None`
    /// where no known library has such a name.
    pub(crate) fn own_name(&self, name: &str) -> Option<(String, &'static Naming)> {
        let translated = |naming: &'static Naming| Some(((naming.rename)(name)?, naming));
        self.namings.iter().find_map(translated)
    }

    /// Names for `num_classes` classes, where the model has that many named ones.
    pub fn label_names(&self, num_classes: usize) -> Option<Vec<String>> {
        let named = self.labels.len() == num_classes && num_classes > 0;
        named.then(|| self.labels.iter().map(ToString::to_string).collect())
    }

    /// The default preprocessing.
    pub fn preprocessing(&self) -> Preprocessing {
        (self.preset)()
    }
}
