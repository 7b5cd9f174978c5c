//! What each kind of network decides, and what of it is explained where nothing is said.

use std::collections::BTreeMap;

use anyhow::Result;
use cnn_layers::{Classifier, Context, DetectedObject, Detector, FeatureMap, Segmenter};
use cnn_metrics::{Ranked, top_k};
use cnn_viz::{Explainable, Method, Target};

use super::CLASSES;
use crate::watched::Watched;

/// A kind of network whose decisions are explained.
pub(super) trait Decides: Watched + Explainable {
    /// What it takes a photo for: a few classes, the first one first, with their probabilities. Of a
    /// network for pixels the shares of the pixels that they have; of one that finds objects those
    /// of the objects with their scores, none where it finds nothing.
    fn decision(&self, photo: &FeatureMap) -> Result<Vec<Ranked>>;

    /// What is explained where nothing is named.
    fn predicted(decision: &[Ranked], names: &[String]) -> Target;

    /// What the number of a [`Ranked`] class is.
    const SHARE: &'static str;

    /// The method where none is named.
    const METHOD: Method = Method::GradCam;
}

impl Decides for dyn Classifier {
    fn decision(&self, photo: &FeatureMap) -> Result<Vec<Ranked>> {
        let logits = self.forward(photo, &Context::eval())?;
        let logits = logits.flatten_all()?.to_vec1::<f32>()?;
        Ok(top_k(&logits, CLASSES.min(logits.len()))?)
    }

    fn predicted(_: &[Ranked], _: &[String]) -> Target {
        Target::PREDICTED
    }

    const SHARE: &'static str = "probability";
}

impl Decides for dyn Detector {
    fn decision(&self, photo: &FeatureMap) -> Result<Vec<Ranked>> {
        let found = self.detect(photo, &self.limits(), &Context::eval())?;
        let ranked = |object: &DetectedObject| Ranked {
            index: object.class,
            probability: object.score.into(),
        };
        Ok(found.iter().flatten().take(CLASSES).map(ranked).collect())
    }

    /// The object that it is surest of.
    fn predicted(_: &[Ranked], _: &[String]) -> Target {
        Target::PREDICTED
    }

    const SHARE: &'static str = "score";

    // Grad-CAM's weights are means over the whole image, of which an object is a part.
    const METHOD: Method = Method::HiResCam;
}

impl Decides for dyn Segmenter {
    fn decision(&self, photo: &FeatureMap) -> Result<Vec<Ranked>> {
        let logits = self.forward(photo, &Context::eval())?.to_nhwc();
        let classes = match logits.dim(3)? {
            1 => logits.gt(0.)?.to_dtype(candle_core::DType::U32)?,
            _ => logits.argmax(3)?,
        };
        let classes = classes.flatten_all()?.to_vec1::<u32>()?;
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for &class in &classes {
            *counts.entry(class as usize).or_default() += 1;
        }
        let ranked = |(index, count): (usize, usize)| Ranked {
            index,
            probability: count as f64 / classes.len() as f64,
        };
        let mut ranked: Vec<Ranked> = counts.into_iter().map(ranked).collect();
        ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Ok(ranked)
    }

    /// What most pixels are of, the background aside where there is anything else.
    fn predicted(decision: &[Ranked], names: &[String]) -> Target {
        let is_background =
            |class: &Ranked| class.index == 0 && names[0].eq_ignore_ascii_case("background");
        let object = decision.iter().find(|class| !is_background(class));
        let most = object.or(decision.first());
        most.map_or(Target::PREDICTED, |class| Target::class(class.index))
    }

    const SHARE: &'static str = "share";
}
