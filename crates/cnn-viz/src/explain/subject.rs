//! The network under explanation, and the passes that all methods are made of.

use candle_core::{Tensor, TensorId, Var};
use cnn_layers::{BackwardRule, Classifier, Context, FeatureMap, backward};

use super::place::Place;
use super::target::{Score, scores};
use crate::Error;

/// What is told while a method needs many passes: images done, images in all.
pub(crate) type Progress<'a> = Option<&'a (dyn Fn(usize, usize) + 'a)>;

/// The models that the passes run on.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Built so that gradients flow through it.
    pub(crate) model: &'a dyn Classifier,
    /// For passes without gradients: the same weights, perhaps built for inference.
    pub(crate) scorer: &'a dyn Classifier,
    pub(crate) batch_size: usize,
    pub(crate) progress: Progress<'a>,
    /// The last maps of images for which they were computed already.
    pub(crate) known: Option<(TensorId, &'a FeatureMap)>,
}

impl Subject<'_> {
    /// The scores of images `(N, H, W, C)`, without gradients.
    pub(crate) fn scores(&self, images: &Tensor, targets: &[Score]) -> Result<Vec<f64>, Error> {
        let cx = Context::eval();
        let features = self
            .scorer
            .forward_features(&FeatureMap::from_nhwc(images)?, &cx)?;
        numbers(&scores(self.scorer, &features, targets, &cx)?)
    }

    /// The scores that go on from maps at `place`, without gradients.
    pub(crate) fn scores_from(
        &self,
        place: Place,
        maps: &Tensor,
        targets: &[Score],
    ) -> Result<Vec<f64>, Error> {
        let cx = Context::eval();
        let features = place.go_on(self.scorer, &FeatureMap::from_nhwc(maps)?, &cx)?;
        numbers(&scores(self.scorer, &features, targets, &cx)?)
    }

    /// The scores of images and their gradient by the images, `(N, H, W, C)`.
    pub(crate) fn gradient(
        &self,
        images: &Tensor,
        targets: &[Score],
        rule: BackwardRule,
    ) -> Result<(Vec<f64>, Tensor), Error> {
        let cx = Context::eval().with_backward_rule(rule);
        let images = Var::from_tensor(images)?;
        let features = self
            .model
            .forward_features(&FeatureMap::from_nhwc(&images)?, &cx)?;
        let scores = scores(self.model, &features, targets, &cx)?;
        let gradients = backward(&scores.sum_all()?)?;
        let gradient = gradients
            .get(&images)
            .ok_or(Error::NoGradient { what: "image" })?;
        Ok((numbers(&scores)?, gradient.clone()))
    }

    /// The maps at `place` and the gradient of the scores by them, both `(N, H, W, C)`.
    pub(crate) fn maps_and_gradient(
        &self,
        place: Place,
        images: &Tensor,
        targets: &[Score],
    ) -> Result<(Tensor, Tensor), Error> {
        let cx = Context::eval();
        let maps = Var::from_tensor(&self.maps(place, images)?)?;
        let features = place.go_on(self.model, &FeatureMap::from_nhwc(&maps)?, &cx)?;
        let gradients = backward(&scores(self.model, &features, targets, &cx)?.sum_all()?)?;
        let gradient = gradients
            .get(&maps)
            .ok_or(Error::NoGradient { what: "maps" })?;
        Ok((maps.as_detached_tensor(), gradient.clone()))
    }

    /// The maps at `place`, `(N, H, W, C)`, without gradients.
    pub(crate) fn maps(&self, place: Place, images: &Tensor) -> Result<Tensor, Error> {
        match self.known {
            Some((id, maps)) if id == images.id() && place == Place::Last => Ok(maps.to_nhwc()),
            _ => Ok(place
                .reach(
                    self.scorer,
                    &FeatureMap::from_nhwc(images)?,
                    &Context::eval(),
                )?
                .to_nhwc()),
        }
    }

    pub(crate) fn report(&self, done: usize, total: usize) {
        if let Some(progress) = self.progress {
            progress(done, total);
        }
    }
}

fn numbers(scores: &Tensor) -> Result<Vec<f64>, Error> {
    Ok(scores.to_dtype(candle_core::DType::F64)?.to_vec1()?)
}

/// The values of a tensor in row-major order, in double precision.
pub(crate) fn doubles(tensor: &Tensor) -> Result<Vec<f64>, Error> {
    Ok(tensor
        .to_dtype(candle_core::DType::F64)?
        .flatten_all()?
        .to_vec1()?)
}

/// The values of a tensor in row-major order.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(tensor
        .to_dtype(candle_core::DType::F32)?
        .flatten_all()?
        .to_vec1()?)
}
