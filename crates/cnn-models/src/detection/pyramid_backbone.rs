//! Backbones with a feature pyramid over them, under torchvision's names: `backbone.body` and
//! `backbone.fpn`.

use candle_core::Result;
use cnn_layers::{
    Backbone, Builder, Context, ExtraLevels, FeatureMap, FeaturePyramid, FeaturePyramidConfig,
    LayerGroup, StageInfo,
};
use serde_json::{Map, Value};

use crate::families::mobilenetv3;
use crate::model_spec::Body;
use crate::segmentation::BackboneArgs;
use crate::{ArgReader, Error, ModelConfig, ModelSpec, find};

/// Where the backbone lies in a network whose backbone is chosen: with its own names below.
pub(super) const BODY: Body = Body {
    arg: "backbone",
    default: "resnet18",
    path: "backbone.body",
};

/// The model whose maps become a pyramid, and which of them.
pub(super) enum PyramidBody {
    /// A model of torchvision's with the maps of these stages.
    Fixed {
        spec: &'static ModelSpec,
        args: Map<String, Value>,
        stages: &'static [usize],
    },
    /// One that the configuration chooses, with its last maps at these shares of the image's size.
    Chosen {
        backbone: BackboneArgs,
        reductions: &'static [usize],
    },
}

/// The bodies of detectors that look once, at maps from an eighth of the image's size on.
#[derive(Clone, Copy)]
pub(super) enum OneStageForm {
    /// torchvision's.
    Resnet50,
    /// One that the configuration names.
    Chosen,
}

impl OneStageForm {
    pub(super) fn body(self, args: &mut ArgReader<'_>) -> std::result::Result<PyramidBody, Error> {
        match self {
            Self::Resnet50 => PyramidBody::torchvision_resnet50(&[2, 3, 4], args),
            Self::Chosen => PyramidBody::chosen(&[8, 16, 32], args),
        }
    }

    /// Classes where nothing is said: torchvision's files count COCO's categories.
    pub(super) fn default_classes(self) -> usize {
        match self {
            Self::Resnet50 => cnn_core::COCO_CATEGORIES.len(),
            Self::Chosen => cnn_core::COCO_CLASSES.len(),
        }
    }
}

impl PyramidBody {
    /// torchvision's ResNet-50 with the maps of these of its layers. `bn_eps` is what its norms add
    /// to the variance.
    pub(super) fn torchvision_resnet50(
        layers: &'static [usize],
        args: &mut ArgReader<'_>,
    ) -> std::result::Result<Self, Error> {
        let bn_eps = args.number("bn_eps", 0.0..=1.)?.unwrap_or(1e-5);
        Ok(Self::Fixed {
            spec: find("resnet50")?,
            args: Map::from_iter([("bn_eps".to_string(), bn_eps.into())]),
            stages: layers,
        })
    }

    /// torchvision's MobileNetV3-Large with its last two maps, both 32 times smaller than the image.
    /// Its detectors have PyTorch's norms, not those of the classifier.
    pub(super) fn torchvision_mobilenetv3() -> Self {
        let norms = [("bn_eps", 1e-5), ("bn_momentum", 0.1)];
        let norms = norms.map(|(name, value)| (name.to_string(), value.into()));
        Self::Fixed {
            spec: &mobilenetv3::TORCHVISION_BODY,
            args: Map::from_iter(norms),
            stages: &[3, 4],
        }
    }

    /// The registered model that the configuration chooses (`backbone`, and `backbone_args` for what
    /// it is built with).
    pub(super) fn chosen(
        reductions: &'static [usize],
        args: &mut ArgReader<'_>,
    ) -> std::result::Result<Self, Error> {
        Ok(Self::Chosen {
            backbone: BackboneArgs::read_at(args, BODY.default, BODY.path)?,
            reductions,
        })
    }

    /// The backbone and its pyramid.
    pub(super) fn build(
        &self,
        channels: usize,
        extra: ExtraLevels,
        config: &ModelConfig,
        root: &Builder,
    ) -> std::result::Result<PyramidBackbone, Error> {
        let at = root.pp("backbone");
        let body = match self {
            Self::Fixed { spec, args, stages } => {
                let of_body = ModelConfig {
                    in_channels: config.in_channels,
                    args: args.clone(),
                    ..ModelConfig::default()
                };
                spec.build_backbone(&of_body, &at.pp("body"), Some(stages))?
            }
            Self::Chosen {
                backbone,
                reductions,
            } => backbone.at_reductions(reductions, config, root)?,
        };
        let read: Vec<usize> = body.stages().iter().map(|stage| stage.channels).collect();
        let pyramid = FeaturePyramidConfig::new(read, channels).with_extra_levels(extra);
        let at_pyramid = at.pp("fpn");
        let pyramid = pyramid.build(&at_pyramid)?;
        let mut groups = body.layer_groups().to_vec();
        groups.push(LayerGroup::new("neck", [at_pyramid.path()]));
        Ok(PyramidBackbone {
            body,
            groups,
            channels: pyramid.out_channels(),
            pyramid,
            extra: extra.count(),
        })
    }
}

/// The channels of a head that all levels share.
#[derive(Clone, Copy)]
pub(super) struct HeadChannels {
    /// Those of the levels.
    pub(super) read: usize,
    /// Those that its layers are designed to have.
    pub(super) designed: usize,
}

/// A backbone whose maps are those of a pyramid.
pub(super) struct PyramidBackbone {
    body: Box<dyn Backbone>,
    pyramid: FeaturePyramid,
    groups: Vec<LayerGroup>,
    channels: usize,
    /// Levels beyond those of the body's maps.
    extra: usize,
}

impl PyramidBackbone {
    /// The levels over the body's maps, from the finest on.
    pub(super) fn levels(&self, maps: &[FeatureMap], cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        self.pyramid.forward(maps, cx)
    }

    /// The body's maps, of which those of the first stages are given.
    pub(super) fn complete_stages(
        &self,
        maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        self.body.complete_stages(maps, cx)
    }

    /// The body's maps that the pyramid reads.
    pub(super) fn forward_stages(
        &self,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        self.body.forward_stages(xs, cx)
    }

    pub(super) fn stages(&self) -> &[StageInfo] {
        self.body.stages()
    }

    /// The body's groups, and the pyramid as `neck`.
    pub(super) fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    /// Channels of all levels.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// How many levels stand on a map of the body; the others follow them.
    pub(super) fn levels_of_body(&self) -> usize {
        self.body.stages().len()
    }

    /// How many pixels of the image lie between two of each level.
    pub(super) fn strides(&self) -> Vec<usize> {
        let of_body = self.body.stages().iter().map(|stage| stage.reduction);
        let mut strides: Vec<usize> = of_body.collect();
        let coarsest = strides.last().copied().unwrap_or(1);
        strides.extend((1..=self.extra).map(|level| coarsest << level));
        strides
    }
}

/// Rows and columns of maps.
pub(super) fn grids(maps: &[FeatureMap]) -> Vec<[usize; 2]> {
    maps.iter().map(|map| [map.height(), map.width()]).collect()
}
