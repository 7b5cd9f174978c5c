//! A network that tells the class of every pixel, as a backbone and what reads its maps.

use candle_core::Result;

use crate::{
    AuxiliaryOutput, Backbone, Context, FeatureMap, LayerGroup, Outputs, Segmenter, StageInfo,
};

/// What makes class scores of every pixel from the maps of a backbone. Object-safe.
pub trait Decoder: Send + Sync {
    /// Class scores of every pixel.
    ///
    /// # Shapes
    /// `image` `(N, H, W, C)`, which tells the size that the scores are to have, and `maps` of the
    /// backbone's stages, from the input on, to logits `(N, H, W, K)`.
    ///
    /// # Errors
    /// If a map does not fit.
    fn forward(
        &self,
        image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FeatureMap>;
}

/// A backbone, the decoder that reads its maps, and auxiliary ones for training.
///
/// The layer groups are the backbone's, one for the decoder, where it has modules, and the head.
pub struct EncoderDecoder {
    backbone: Box<dyn Backbone>,
    decoder: Box<dyn Decoder>,
    auxiliary: Vec<Auxiliary>,
    groups: Vec<LayerGroup>,
    num_classes: usize,
}

/// A decoder that is there for training.
struct Auxiliary {
    name: String,
    /// How much its loss counts.
    weight: f64,
    decoder: Box<dyn Decoder>,
}

/// The modules of a decoder, by their full paths.
#[derive(Debug, Clone, Default)]
pub struct DecoderModules {
    /// Those between the backbone and the head, which another number of classes leaves as they are.
    pub decoder: Vec<String>,
    /// Those that give the class scores, of auxiliary decoders too.
    pub head: Vec<String>,
}

impl EncoderDecoder {
    /// A network for `num_classes` classes.
    pub fn new(
        backbone: Box<dyn Backbone>,
        decoder: impl Decoder + 'static,
        modules: DecoderModules,
        num_classes: usize,
    ) -> Self {
        let mut groups = backbone.layer_groups().to_vec();
        if !modules.decoder.is_empty() {
            groups.push(LayerGroup::new("decoder", modules.decoder));
        }
        groups.push(LayerGroup::new("head", modules.head));
        Self {
            backbone,
            decoder: Box::new(decoder),
            auxiliary: Vec::new(),
            groups,
            num_classes,
        }
    }

    /// With a decoder that is there for training, called `name`, whose loss counts `weight` beside
    /// that of the main output. Its modules are named among the others'.
    #[must_use]
    pub fn with_auxiliary(
        mut self,
        name: &str,
        weight: f64,
        decoder: impl Decoder + 'static,
    ) -> Self {
        self.auxiliary.push(Auxiliary {
            name: name.to_string(),
            weight,
            decoder: Box::new(decoder),
        });
        self
    }
}

impl Segmenter for EncoderDecoder {
    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn stages(&self) -> &[StageInfo] {
        self.backbone.stages()
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        self.backbone.forward_stages(xs, cx)
    }

    fn forward_from(
        &self,
        image: &FeatureMap,
        maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let maps = self.backbone.complete_stages(maps, cx)?;
        self.decoder.forward(image, &maps, cx)
    }

    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let maps = self.forward_stages(xs, cx)?;
        self.decoder.forward(xs, &maps, cx)
    }

    fn auxiliary_heads(&self) -> Vec<&str> {
        let names = self.auxiliary.iter().map(|head| head.name.as_str());
        names.collect()
    }

    fn forward_outputs(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Outputs<FeatureMap>> {
        let maps = self.forward_stages(xs, cx)?;
        let main = self.decoder.forward(xs, &maps, cx)?;
        let auxiliary = self.auxiliary.iter().map(|head| {
            Ok(AuxiliaryOutput {
                head: head.name.clone(),
                weight: head.weight,
                output: head.decoder.forward(xs, &maps, cx)?,
            })
        });
        Ok(Outputs::new(main, auxiliary.collect::<Result<_>>()?))
    }
}
