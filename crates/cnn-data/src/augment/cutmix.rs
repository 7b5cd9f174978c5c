//! CutMix: pasting a part of one image into another.

use cnn_core::Rng;

use super::arguments::within;
use super::beta::{ALPHAS, beta};
use super::mixing::{Mixing, batch_of, pairs};
use crate::Error;

/// Replaces a rectangle of each image by the same rectangle of its partner (S. Yun et al., "CutMix:
/// Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019).
///
/// λ is drawn from Beta(α, α) once for the batch. The rectangle's sides are √(1 − λ) times the
/// image's, and its centre is uniform over the image. The part that reaches beyond the image is cut
/// off, and [`Mixing::lambda`] is the share of its own pixels that an image keeps. Partners come
/// from the reversed batch, as in timm, so the batch should be shuffled.
#[derive(Clone, Debug, PartialEq)]
pub struct CutMix {
    alpha: f64,
}

impl CutMix {
    /// With `alpha` 1, as in the paper, all sizes of the rectangle are equally likely.
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
        let [count, height, width, channels] = dims;
        let share = (1.0 - beta(self.alpha, rng)).sqrt();
        let rows = Span::draw(height, share, rng);
        let columns = Span::draw(width, share, rng);
        for [first, last] in pairs(images, batch) {
            let rows_of = |image| {
                <[f32]>::chunks_exact_mut(image, width * channels)
                    .skip(rows.start)
                    .take(rows.len)
            };
            for (one, other) in rows_of(first).zip(rows_of(last)) {
                let part = columns.start * channels..(columns.start + columns.len) * channels;
                one[part.clone()].swap_with_slice(&mut other[part]);
            }
        }
        let pasted = (rows.len * columns.len) as f64 / (height * width) as f64;
        Ok(Mixing::reversed(count, 1.0 - pasted))
    }
}

/// One axis of the rectangle, inside the image.
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    fn draw(side: usize, share: f64, rng: &mut Rng) -> Self {
        let cut = (side as f64 * share) as usize;
        let centre = rng.below(side as u64) as usize;
        let start = centre.saturating_sub(cut / 2);
        let end = (centre + cut.div_ceil(2)).min(side);
        Self {
            start,
            len: end - start,
        }
    }
}
