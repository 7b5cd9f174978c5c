//! Several gradients of a model that is not the same twice.

use crate::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits};

/// A model whose answers are random, as an attack sees it that knows that: the gradient is the mean
/// over several calls, that of the expected loss (expectation over transformation, EOT; Athalye et
/// al. 2018, arXiv:1707.07397). Scores are those of one call, as the model is used.
pub struct Averaged<'a> {
    model: &'a dyn AttackedModel,
    calls: usize,
}

impl<'a> Averaged<'a> {
    /// The mean over so many calls; each is expected to draw anew.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are none.
    pub fn new(model: &'a dyn AttackedModel, calls: usize) -> Result<Self, Error> {
        if calls == 0 {
            return Err(Error::argument("calls", calls, "at least 1"));
        }
        Ok(Self { model, calls })
    }
}

impl AttackedModel for Averaged<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.model.logits(images)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let part = 1. / self.calls as f64;
        let mut mean = self.model.gradient(images, loss)?;
        mean.images = mean.images.map(|value| part * value);
        mean.losses.iter_mut().for_each(|loss| *loss *= part);
        for _ in 1..self.calls {
            let more = self.model.gradient(images, loss)?;
            mean.images = mean.images.plus(&more.images, part);
            for (mean, more) in mean.losses.iter_mut().zip(more.losses) {
                *mean += part * more;
            }
        }
        Ok(mean)
    }
}
