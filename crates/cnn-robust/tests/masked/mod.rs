//! Four ways to hide a network's gradient, each around the same network. None makes it robust.

use std::cell::Cell;

use cnn_core::Key;
use cnn_robust::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits};

/// Rounds images to few levels. The gradient through the rounding is zero.
pub(crate) struct Quantised<'a> {
    pub(crate) model: &'a dyn AttackedModel,
    /// How many steps there are from black to white.
    pub(crate) levels: f64,
}

impl Quantised<'_> {
    fn seen(&self, images: &Images) -> Images {
        images.map(|value| (value * self.levels).round() / self.levels)
    }
}

impl AttackedModel for Quantised<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.model.logits(&self.seen(images))
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let found = self.model.gradient(&self.seen(images), loss)?;
        Ok(ImageGradient {
            images: images.zeros_like(),
            ..found
        })
    }
}

/// Multiplies the scores, so that the cross-entropy of a right image is flat.
pub(crate) struct Saturated<'a> {
    pub(crate) model: &'a dyn AttackedModel,
    pub(crate) factor: f64,
}

impl AttackedModel for Saturated<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let mut logits = self.model.logits(images)?;
        for index in 0..logits.len() {
            let row = logits.row_mut(index).iter_mut();
            row.for_each(|score| *score *= self.factor);
        }
        Ok(logits)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let scaled = |index: usize, logits: &[f64], gradient: &mut [f64]| {
            let scores: Vec<f64> = logits.iter().map(|score| score * self.factor).collect();
            let loss = loss.loss(index, &scores, gradient);
            gradient.iter_mut().for_each(|value| *value *= self.factor);
            loss
        };
        let found = self.model.gradient(images, &scaled)?;
        Ok(ImageGradient {
            logits: self.logits(images)?,
            ..found
        })
    }
}

/// Adds fresh noise to the images at every call.
pub(crate) struct Stochastic<'a> {
    pub(crate) model: &'a dyn AttackedModel,
    /// The noise's standard deviation.
    pub(crate) noise: f64,
    pub(crate) calls: Cell<u64>,
}

impl Stochastic<'_> {
    fn seen(&self, images: &Images) -> Images {
        let call = self.calls.get();
        self.calls.set(call + 1);
        let mut rng = Key::new(7).at(call).rng();
        let mut seen = images.clone();
        for value in seen.values_mut() {
            *value += self.noise * rng.normal();
        }
        seen
    }
}

impl AttackedModel for Stochastic<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.model.logits(&self.seen(images))
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        self.model.gradient(&self.seen(images), loss)
    }
}

/// Bends each value by a fine wave before the network sees it: `x + h · p / 2π · sin(2π x / p)`.
/// Its slope is `1 + h cos(2π x / p)`, so with `h` above 1 the sign of the gradient is that of the
/// wave.
pub(crate) struct Shattered<'a> {
    pub(crate) model: &'a dyn AttackedModel,
    /// How steep the wave is: `h`.
    pub(crate) steepness: f64,
    /// The length of a wave: `p`.
    pub(crate) period: f64,
}

impl Shattered<'_> {
    fn phase(&self, value: f64) -> f64 {
        std::f64::consts::TAU * value / self.period
    }

    fn seen(&self, images: &Images) -> Images {
        let height = self.steepness * self.period / std::f64::consts::TAU;
        images.map(|value| value + height * self.phase(value).sin())
    }
}

impl AttackedModel for Shattered<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.model.logits(&self.seen(images))
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let mut found = self.model.gradient(&self.seen(images), loss)?;
        let pairs = found.images.values_mut().iter_mut().zip(images.values());
        for (gradient, value) in pairs {
            *gradient *= 1. + self.steepness * self.phase(*value).cos();
        }
        Ok(found)
    }
}
