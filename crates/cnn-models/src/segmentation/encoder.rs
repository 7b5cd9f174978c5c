//! The backbones of the networks, and which of their maps are read.

use std::collections::BTreeMap;

use cnn_layers::{Backbone, Builder, Mode, Store};
use serde_json::{Map, Value};

use crate::families::mobilenetv3;
use crate::{ArgReader, Error, ModelConfig, ModelSpec, Naming, find};

/// A backbone that gives the maps that a decoder reads.
pub(super) struct Encoder {
    pub(super) backbone: Box<dyn Backbone>,
}

impl Encoder {
    /// torchvision's ResNet at an eighth of the image's size: the outputs of `layer3` and `layer4`.
    pub(super) fn torchvision_resnet(
        name: &str,
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<Self, Error> {
        let stages = [3, 4];
        Self::torchvision(find(name)?, 8., &stages, config, root)
    }

    /// torchvision's MobileNetV3-Large at a sixteenth of the image's size: the output of the first
    /// block at an eighth, and the last map.
    pub(super) fn torchvision_mobilenetv3(
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<Self, Error> {
        let stages = [1, 4];
        Self::torchvision(&mobilenetv3::TORCHVISION_BODY, 16., &stages, config, root)
    }

    fn torchvision(
        spec: &ModelSpec,
        output_stride: f64,
        stages: &[usize],
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<Self, Error> {
        let config = ModelConfig {
            in_channels: config.in_channels,
            ..ModelConfig::default()
        }
        .with_arg("output_stride", output_stride);
        let backbone = spec.build_backbone(&config, &root.pp("backbone"), Some(stages))?;
        Ok(Self { backbone })
    }

    /// Channels of the two maps of a network of torchvision.
    pub(super) fn channels(&self) -> [usize; 2] {
        let stages = self.backbone.stages();
        [stages[0].channels, stages[1].channels]
    }
}

/// Which registered model is the backbone, and what it is built with: the arguments `backbone` and
/// `backbone_args` of a configuration.
pub(crate) struct BackboneArgs {
    spec: &'static ModelSpec,
    args: Map<String, Value>,
    /// Where it lies in the network.
    path: &'static str,
}

/// The backbone where nothing is said of it: segmentation_models.pytorch's.
pub(crate) const DEFAULT_BACKBONE: &str = "resnet34";

/// Where the backbone lies in the networks that take any: timm's names below it, as
/// segmentation_models.pytorch has its encoders `tu-…`.
pub(crate) const BACKBONE_PATH: &str = "encoder.model";

/// segmentation_models.pytorch's ResNets of its own (`Unet("resnet34")`), which have timm's names at
/// another place.
pub(super) const OWN_ENCODER: Naming = Naming {
    library: "segmentation_models.pytorch",
    rename: from_own_encoder,
    args: &[],
};

fn from_own_encoder(name: &str) -> Option<String> {
    let module = name.strip_prefix("encoder.")?;
    let is_of_resnet = ["conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4."]
        .iter()
        .any(|first| module.starts_with(first));
    is_of_resnet.then(|| format!("{BACKBONE_PATH}.{module}"))
}

/// What a decoder of many maps reads.
const PYRAMID: &str = "some at a quarter and below";

impl BackboneArgs {
    pub(super) fn read(args: &mut ArgReader<'_>) -> Result<Self, Error> {
        Self::read_at(args, DEFAULT_BACKBONE, BACKBONE_PATH)
    }

    /// Of a network that has another backbone where nothing is said of it, or at another place.
    pub(crate) fn read_at(
        args: &mut ArgReader<'_>,
        default: &str,
        path: &'static str,
    ) -> Result<Self, Error> {
        let name = args.text("backbone")?.unwrap_or(default);
        Ok(Self {
            spec: find(name)?,
            args: args.object("backbone_args")?.unwrap_or_default(),
            path,
        })
    }

    /// The backbone with its last maps at these shares of the image's size, as 16 and 32.
    pub(crate) fn at_reductions(
        &self,
        wanted: &[usize],
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<Box<dyn Backbone>, Error> {
        let (config, whole) = self.whole(config, root, None)?;
        let stages = whole.stages().iter();
        let found: Vec<usize> = stages.map(|stage| stage.reduction).collect();
        let last = |wanted: &usize| found.iter().rposition(|found| found == wanted);
        let Some(chosen) = wanted.iter().map(last).collect::<Option<Vec<usize>>>() else {
            return Err(self.unfit(&found, &format!("some at 1/{wanted:?}")));
        };
        Ok(self.selected(&config, root, &chosen)?.backbone)
    }

    /// The whole backbone, with what comes behind its last stage.
    pub(crate) fn last(&self, config: &ModelConfig, root: &Builder) -> Result<LastMap, Error> {
        let widths = &config.widths;
        let blank = Store::blank().builder(root.mode());
        let blank = self.place(&blank.with_widths(widths));
        let (config, _) = self.whole(config, root, None)?;
        let at = self.place(root);
        let channels = self.spec.build_classifier(&config, &blank)?.num_features();
        let backbone = self.spec.build_backbone(&config, &at, None)?;
        Ok(LastMap { backbone, channels })
    }

    /// The backbone with its maps at a half, a quarter and so on of the image's size, up to a 32nd:
    /// the last one of each size. It may lack some of the first.
    pub(super) fn pyramid(&self, config: &ModelConfig, root: &Builder) -> Result<Pyramid, Error> {
        let (config, whole) = self.whole(config, root, None)?;
        let stages = whole.stages();
        let reductions: Vec<usize> = stages.iter().map(|stage| stage.reduction).collect();
        let deepest = reductions.iter().copied().max().unwrap_or(1).min(32);
        let depth = deepest.ilog2() as usize;
        let chosen: Vec<Option<usize>> = (1..=depth)
            .map(|level| reductions.iter().rposition(|&found| found == 1 << level))
            .collect();
        let channels = chosen
            .iter()
            .map(|chosen| chosen.map_or(0, |stage| stages[stage].channels))
            .collect();
        let indices: Vec<usize> = chosen.iter().copied().flatten().collect();
        if chosen.last().is_none_or(Option::is_none) {
            return Err(self.unfit(&reductions, PYRAMID));
        }
        Ok(Pyramid {
            encoder: self.selected(&config, root, &indices)?,
            channels,
        })
    }

    /// The backbone at a sixteenth of the image's size by dilation: the map at a quarter of it, and
    /// the last one.
    pub(super) fn dilated(
        &self,
        output_stride: usize,
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<Encoder, Error> {
        let whole = self.whole(config, root, Some(output_stride));
        let (config, whole) = whole.map_err(|error| match error {
            Error::UnknownArgument { ref name, .. } if name == "output_stride" => Error::Argument {
                model: self.spec.name,
                what: "the backbone",
                found: "one whose strides cannot become dilations".to_string(),
                expected: "one that can be dilated, as resnet34 or mobilenetv2_100".to_string(),
            },
            other => other,
        })?;
        let stages = whole.stages();
        let quarter = stages.iter().rposition(|stage| stage.reduction == 4);
        let last = stages.len().saturating_sub(1);
        match quarter.filter(|&quarter| quarter < last) {
            Some(quarter) => self.selected(&config, root, &[quarter, last]),
            None => {
                let reductions: Vec<usize> = stages.iter().map(|stage| stage.reduction).collect();
                Err(self.unfit(&reductions, PYRAMID))
            }
        }
    }

    /// Its configuration, and the backbone over a store of its own, to see its stages.
    fn whole(
        &self,
        config: &ModelConfig,
        root: &Builder,
        output_stride: Option<usize>,
    ) -> Result<(ModelConfig, Box<dyn Backbone>), Error> {
        let mut of_backbone = ModelConfig {
            in_channels: config.in_channels,
            args: self.args.clone(),
            ..ModelConfig::default()
        };
        if let Some(stride) = output_stride {
            of_backbone = of_backbone.with_arg("output_stride", stride as f64);
        }
        let blank = Store::blank().builder(root.mode());
        let at = self.place(&blank.with_widths(&config.widths));
        let backbone = self.spec.build_backbone(&of_backbone, &at, None)?;
        Ok((of_backbone, backbone))
    }

    fn selected(
        &self,
        config: &ModelConfig,
        root: &Builder,
        stages: &[usize],
    ) -> Result<Encoder, Error> {
        let at = self.place(root);
        let backbone = self.spec.build_backbone(config, &at, Some(stages))?;
        Ok(Encoder { backbone })
    }

    /// Where a module of the model alone lies in the network that has it as its backbone.
    fn path_of(&self, root: &Builder, module: &str) -> String {
        let parts = module.split('.').filter(|part| !part.is_empty());
        let at = parts.fold(self.place(root), |at, part| at.pp(part));
        at.path().to_string()
    }

    /// Where it lies, under the names that timm gives the layers of a network that is to give its
    /// maps: it takes some modules apart, and wraps a network whose maps it cannot get otherwise.
    fn place(&self, root: &Builder) -> Builder {
        let at = root.pp(self.path);
        match self.spec.family {
            "vgg" | "densenet" | "inception_v4" => at.flattened(&["features"]),
            "convnext" => at.flattened(&["stem", "stages"]),
            "darknet" => at.flattened(&["stem", "stages"]),
            "repvgg" => at.flattened(&["stages"]),
            "ghostnet" => at.flattened(&["blocks"]),
            "xception_aligned" => at.flattened(&["stem", "blocks"]),
            "xception" => at.pp("body"),
            _ => at,
        }
    }

    fn unfit(&self, reductions: &[usize], expected: &str) -> Error {
        Error::Argument {
            model: self.spec.name,
            what: "the maps of the backbone",
            found: format!("maps at 1/{reductions:?} of the image's size"),
            expected: expected.to_string(),
        }
    }
}

/// A classifier as the backbone of another network.
pub(crate) struct AsBackbone {
    backbone: BackboneArgs,
    /// Whose places are asked for; nothing is built there.
    root: Builder,
}

impl AsBackbone {
    /// At a place of that network.
    pub(crate) fn of(spec: &'static ModelSpec, path: &'static str) -> Self {
        Self {
            backbone: BackboneArgs {
                spec,
                args: Map::new(),
                path,
            },
            root: Store::blank().builder(Mode::Eval),
        }
    }

    /// The widths that are planned for layers of the classifier, by their paths in the network; what
    /// is planned for its head is left out.
    ///
    /// # Errors
    /// If the classifier has no backbone.
    pub(crate) fn widths(
        &self,
        of_classifier: &BTreeMap<String, usize>,
    ) -> Result<BTreeMap<String, usize>, Error> {
        let blank = Store::blank().builder(Mode::Eval);
        let spec = self.backbone.spec;
        let whole = spec.build_backbone(&ModelConfig::default(), &blank, None)?;
        let is_of_backbone = |path: &str| {
            whole
                .layer_groups()
                .iter()
                .any(|group| group.contains(path))
        };
        let widths = of_classifier
            .iter()
            .filter(|(path, _)| is_of_backbone(path));
        Ok(widths
            .map(|(path, &width)| (self.backbone.path_of(&self.root, path), width))
            .collect())
    }

    /// Gives the network's backbone the classifier's weights.
    ///
    /// # Errors
    /// If a tensor has another shape.
    pub(crate) fn take_weights(&self, network: &Store, classifier: &Store) -> Result<(), Error> {
        for name in classifier.names() {
            let (module, tensor) = name.rsplit_once('.').unwrap_or(("", &name));
            let within = self.backbone.path_of(&self.root, module);
            let within = format!("{within}.{tensor}");
            // The network has no place for the head's.
            if network.get(&within).is_ok() {
                network.set(&within, &classifier.get(&name)?)?;
            }
        }
        Ok(())
    }
}

/// A backbone whose last map is read.
pub(crate) struct LastMap {
    pub(crate) backbone: Box<dyn Backbone>,
    /// Channels of the last map.
    pub(crate) channels: usize,
}

/// A backbone with a map for each halving of the image's size.
pub(super) struct Pyramid {
    pub(super) encoder: Encoder,
    /// Channels of the map at each halving, from the first on; 0 where there is none.
    pub(super) channels: Vec<usize>,
}
