//! The network under explanation, and the passes that all methods are made of.

use candle_core::{Tensor, TensorId, Var};
use cnn_layers::{BackwardRule, Context, FeatureMap, backward};

use super::explained::Explained;
use super::place::Place;
use super::target::Score;
use crate::Error;

/// What is told while a method needs many passes: images done, images in all.
pub(crate) type Progress<'a> = Option<&'a (dyn Fn(usize, usize) + 'a)>;

/// The models that the passes run on.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// Built so that gradients flow through it.
    pub(crate) model: Explained<'a>,
    /// For passes without gradients: the same weights, perhaps built for inference.
    pub(crate) scorer: Explained<'a>,
    pub(crate) batch_size: usize,
    pub(crate) progress: Progress<'a>,
    /// The last maps of images for which they were computed already.
    pub(crate) known: Option<(TensorId, &'a FeatureMap)>,
}

impl Subject<'_> {
    /// The scores of images `(N, H, W, C)`, without gradients.
    pub(crate) fn scores(&self, images: &Tensor, targets: &[Score]) -> Result<Vec<f64>, Error> {
        let images = FeatureMap::from_nhwc(images)?;
        numbers(&self.scorer.scores(&images, targets, &Context::eval())?)
    }

    /// The scores that go on from changed maps at `place` of an image `(1, H, W, C)`, without
    /// gradients.
    pub(crate) fn scores_from(
        &self,
        place: Place,
        image: &Tensor,
        maps: &Tensor,
        targets: &[Score],
    ) -> Result<Vec<f64>, Error> {
        let image = FeatureMap::from_nhwc(image)?;
        let maps = FeatureMap::from_nhwc(maps)?;
        let cx = Context::eval();
        numbers(
            &self
                .scorer
                .scores_from(place, &image, &maps, targets, &cx)?,
        )
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
        let scores = self
            .model
            .scores(&FeatureMap::from_nhwc(&images)?, targets, &cx)?;
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
        let maps = Var::from_tensor(&self.maps(place, images)?)?;
        let from = FeatureMap::from_nhwc(&maps)?;
        let images = FeatureMap::from_nhwc(images)?;
        let cx = Context::eval();
        let scores = self
            .model
            .scores_from(place, &images, &from, targets, &cx)?;
        let gradients = backward(&scores.sum_all()?)?;
        let gradient = gradients
            .get(&maps)
            .ok_or(Error::NoGradient { what: "maps" })?;
        Ok((maps.as_detached_tensor(), gradient.clone()))
    }

    /// The maps at `place`, `(N, H, W, C)`, without gradients.
    pub(crate) fn maps(&self, place: Place, images: &Tensor) -> Result<Tensor, Error> {
        match self.known {
            Some((id, maps)) if id == images.id() && place == Place::Last => Ok(maps.to_nhwc()),
            _ => {
                let images = FeatureMap::from_nhwc(images)?;
                Ok(self
                    .scorer
                    .maps(place, &images, &Context::eval())?
                    .to_nhwc())
            }
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
