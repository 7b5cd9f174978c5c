//! Mixup: adding two images.

use cnn_core::Rng;

use super::arguments::within;
use super::beta::{ALPHAS, beta};
use super::mixing::{Mixing, batch_of, pairs};
use crate::Error;

/// Replaces each image by `λ·image + (1 − λ)·partner`, where λ is drawn from Beta(α, α) once for
/// the batch (H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017).
///
/// Partners come from the reversed batch, as in timm, so the batch should be shuffled.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixup {
    alpha: f64,
}

impl Mixup {
    /// A small `alpha` leaves most images nearly unmixed; with 1 all shares are equally likely.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `alpha` is not in `0.001..=1000`.
    pub fn new(alpha: f64) -> Result<Self, Error> {
        Ok(Self {
            alpha: within("alpha", alpha, ALPHAS)?,
        })
    }

    /// Mixes a batch in place.
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
        let batch = batch_of(images, dims)?;
        let mixing = Mixing::reversed(dims[0], beta(self.alpha, rng));
        let own = mixing.lambda as f32;
        let others = (1.0 - mixing.lambda) as f32;
        for [first, last] in pairs(images, batch) {
            for (a, b) in first.iter_mut().zip(last) {
                (*a, *b) = (own * *a + others * *b, own * *b + others * *a);
            }
        }
        Ok(mixing)
    }
}
