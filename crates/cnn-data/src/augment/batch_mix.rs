//! Choosing between mixup and CutMix for each batch.

use cnn_core::Rng;

use super::arguments::probability;
use super::mixing::batch_of;
use super::{CutMix, Mixing, Mixup};
use crate::Error;

/// Mixes a batch by [`Mixup`], by [`CutMix`] or not at all, drawn for each batch as in timm.
///
/// ```
/// use cnn_core::Key;
/// use cnn_data::{BatchMix, CutMix, Mixup};
///
/// let mix = BatchMix::either(Mixup::new(0.8)?, CutMix::new(1.0)?).with_switch_prob(0.5)?;
/// let mut images = [[0f32; 12], [1.0; 12]].concat();
/// let mixing = mix.apply(&mut images, [2, 2, 2, 3], &mut Key::new(0).rng())?;
/// let targets = mixing.soft_targets(&[0, 1], 2)?;
/// let mean = images[..12].iter().sum::<f32>() / 12.0;
/// assert!((mean - targets[1]).abs() < 1e-6);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BatchMix {
    kinds: Kinds,
    prob: f64,
    switch_prob: f64,
}

#[derive(Clone, Debug, PartialEq)]
enum Kinds {
    Mixup(Mixup),
    CutMix(CutMix),
    Either(Mixup, CutMix),
}

impl BatchMix {
    /// Mixup for every batch.
    pub fn mixup(mixup: Mixup) -> Self {
        Self::of(Kinds::Mixup(mixup))
    }

    /// CutMix for every batch.
    pub fn cutmix(cutmix: CutMix) -> Self {
        Self::of(Kinds::CutMix(cutmix))
    }

    /// For every batch one of the two, which is drawn.
    pub fn either(mixup: Mixup, cutmix: CutMix) -> Self {
        Self::of(Kinds::Either(mixup, cutmix))
    }

    fn of(kinds: Kinds) -> Self {
        Self {
            kinds,
            prob: 1.0,
            switch_prob: 0.5,
        }
    }

    /// The probability that a batch is mixed at all. Default 1.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `prob` is not in `0..=1`.
    pub fn with_prob(self, prob: f64) -> Result<Self, Error> {
        Ok(Self {
            prob: probability("prob", prob)?,
            ..self
        })
    }

    /// Where there are two to choose from, the probability of CutMix. Default 0.5.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `switch_prob` is not in `0..=1`.
    pub fn with_switch_prob(self, switch_prob: f64) -> Result<Self, Error> {
        Ok(Self {
            switch_prob: probability("switch_prob", switch_prob)?,
            ..self
        })
    }

    /// Mixes a batch in place, or leaves it as it is.
    ///
    /// # Shapes
    ///
    /// `images`: the values of a batch with dimensions `dims` = `(N, H, W, C)`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the number of values is not the product of `dims` or an image
    /// is empty.
    pub fn apply(
        &self,
        images: &mut [f32],
        dims: [usize; 4],
        rng: &mut Rng,
    ) -> Result<Mixing, Error> {
        if !rng.bernoulli(self.prob) {
            return batch_of(images, dims).map(|[count, _]| Mixing::none(count));
        }
        match &self.kinds {
            Kinds::Mixup(mixup) => mixup.apply(images, dims, rng),
            Kinds::CutMix(cutmix) => cutmix.apply(images, dims, rng),
            Kinds::Either(_, cutmix) if rng.bernoulli(self.switch_prob) => {
                cutmix.apply(images, dims, rng)
            }
            Kinds::Either(mixup, _) => mixup.apply(images, dims, rng),
        }
    }
}
