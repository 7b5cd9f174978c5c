//! Randomised smoothing (J. Cohen, E. Rosenfeld, Z. Kolter, "Certified Adversarial Robustness via
//! Randomized Smoothing", 2019, arXiv:1902.02918).

use cnn_metrics::{clopper_pearson_lower, even_odds_p_value, two_sided_quantile};

use super::{Certificate, CertifiedClass};
use crate::{AttackedModel, Draw, Draws, Error, Images};

/// A classifier that answers with the class that another one gives most often for an image with
/// normal noise: `g(x) = argmax_c P(f(x + ε) = c)` with `ε ~ N(0, σ² I)`.
///
/// Where that class has a probability of at least `p > 1/2`, no change smaller than `σ Φ⁻¹(p)` in
/// L2 gives `g` another one (theorem 1, with the second class's probability bounded by `1 − p`).
/// `p` is estimated from noisy images, so a certificate is wrong with probability `α` at most.
///
/// The noisy images are not brought back to 0..1, unless [`Smoothing::with_clipping`] says so. What
/// is drawn for an image does not depend on how many are computed at a time.
///
/// ```
/// use cnn_core::Key;
/// use cnn_robust::certify::{Certificate, Smoothing};
/// use cnn_robust::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits};
///
/// /// Whether an image of one value is bright.
/// struct Bright;
///
/// impl AttackedModel for Bright {
///     fn num_classes(&self) -> usize {
///         2
///     }
///
///     fn logits(&self, images: &Images) -> Result<Logits, Error> {
///         let rows = images.values().iter().flat_map(|value| [0.5, *value]);
///         let rows = rows.collect::<Vec<_>>();
///         let shape = (images.len(), 2);
///         Logits::from_tensor(&candle_core::Tensor::from_vec(rows, shape, &candle_core::Device::Cpu)?)
///     }
///
///     fn gradient(&self, _: &Images, _: &dyn LogitLoss) -> Result<ImageGradient, Error> {
///         Err(Error::Other("smoothing asks for scores only".into()))
///     }
/// }
///
/// let image = Images::new(1, [1, 1, 1], vec![0.7])?;
/// let smoothing = Smoothing::new(0.25)?.with_samples(100, 1000)?;
/// let Certificate::Class(certified) = smoothing.certify(&Bright, &image, 0, &Key::new(1))? else {
///     panic!("0.7 is almost a standard deviation above the threshold")
/// };
/// // The class changes at 0.5, which is 0.2 away: no more can be certain.
/// assert!(certified.class == 1 && certified.radius > 0.1 && certified.radius < 0.2);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Smoothing {
    sigma: f64,
    selection: usize,
    estimation: usize,
    alpha: f64,
    batch: usize,
    clip: bool,
}

impl Smoothing {
    /// Noise of a standard deviation, of images with values in 0..1. Defaults as the paper: 100
    /// noisy images to choose the class, 100,000 to be sure of it, α = 0.001; 100 of them at a
    /// time.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not finite and above 0.
    pub fn new(sigma: f64) -> Result<Self, Error> {
        if !(sigma.is_finite() && sigma > 0.) {
            return Err(Error::argument("sigma", sigma, "a finite number above 0"));
        }
        Ok(Self {
            sigma,
            selection: 100,
            estimation: 100_000,
            alpha: 0.001,
            batch: 100,
            clip: false,
        })
    }

    /// How many noisy images choose the class (`n₀`), and how many others estimate its probability
    /// (`n`).
    ///
    /// # Errors
    /// [`Error::Argument`] if one is 0.
    pub fn with_samples(self, selection: usize, estimation: usize) -> Result<Self, Error> {
        let name = ["selection", "estimation"];
        for (name, count) in name.into_iter().zip([selection, estimation]) {
            if count == 0 {
                return Err(Error::argument(name, count, "at least 1"));
            }
        }
        Ok(Self {
            selection,
            estimation,
            ..self
        })
    }

    /// How likely an answer may be wrong.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not strictly between 0 and 1.
    pub fn with_alpha(self, alpha: f64) -> Result<Self, Error> {
        if !(alpha > 0. && alpha < 1.) {
            return Err(Error::argument(
                "alpha",
                alpha,
                "a number above 0 and below 1",
            ));
        }
        Ok(Self { alpha, ..self })
    }

    /// How many noisy images are computed at a time.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is 0.
    pub fn with_batch(self, batch: usize) -> Result<Self, Error> {
        if batch == 0 {
            return Err(Error::argument("batch", batch, "at least 1"));
        }
        Ok(Self { batch, ..self })
    }

    /// Whether noisy values are brought back to 0..1 before the classifier sees them, as one that
    /// learnt from noisy pictures is used to. The certificate holds all the same: it is then one of
    /// `f` with that step before it.
    #[must_use]
    pub fn with_clipping(self, clip: bool) -> Self {
        Self { clip, ..self }
    }

    /// The largest radius that so many noisy images can be sure of, where all of them have one
    /// class: `σ Φ⁻¹(α^(1/n))`; 0 where even that is no certificate.
    ///
    /// # Errors
    /// None with arguments that were accepted.
    pub fn reach(&self) -> Result<f64, Error> {
        let all = self.estimation as u64;
        let probability = clopper_pearson_lower(all, all, 1. - self.alpha)?;
        Ok(self.radius(probability).unwrap_or(0.))
    }

    /// What a lower bound of the class's probability certifies; `None` for less than half of all.
    fn radius(&self, probability: f64) -> Option<f64> {
        // Φ⁻¹(p): a normal value is above it with probability 1 − p.
        let of_half = || self.sigma * two_sided_quantile(2. * (1. - probability));
        (probability > 0.5).then(of_half)
    }

    /// The standard deviation of the noise.
    pub fn sigma(&self) -> f64 {
        self.sigma
    }

    /// The class of an image, or `None` if too few noisy images have it: with probability `1 − α`
    /// it is that of the smoothed classifier (the paper's `PREDICT`). `sample` is the image's
    /// number in its dataset.
    ///
    /// # Errors
    /// [`Error::Argument`] if `image` is not one image, [`Error::NotFinite`] if the scores are not,
    /// and what the model and the draws report.
    pub fn predict(
        &self,
        model: &dyn AttackedModel,
        image: &Images,
        sample: u64,
        draws: &dyn Draws,
    ) -> Result<Option<u32>, Error> {
        let counts = self.counts(model, image, Noise::estimation(self, sample), draws)?;
        let first = most(&counts);
        let without = |class: usize| class != first as usize;
        let second = (0..counts.len()).filter(|class| without(*class));
        let second = second.map(|class| counts[class]).max().unwrap_or(0);
        let of_first = counts[first as usize];
        let p_value = even_odds_p_value(of_first, of_first + second)?;
        Ok((p_value <= self.alpha).then_some(first))
    }

    /// The class of an image with the radius within which it is certain (the paper's `CERTIFY`).
    ///
    /// # Errors
    /// As [`Smoothing::predict`].
    pub fn certify(
        &self,
        model: &dyn AttackedModel,
        image: &Images,
        sample: u64,
        draws: &dyn Draws,
    ) -> Result<Certificate, Error> {
        let chosen = self.counts(model, image, Noise::selection(self, sample), draws)?;
        let class = most(&chosen);
        let counts = self.counts(model, image, Noise::estimation(self, sample), draws)?;
        let found = counts[class as usize];
        let probability = clopper_pearson_lower(found, self.estimation as u64, 1. - self.alpha)?;
        let certified = |radius| CertifiedClass {
            class,
            probability,
            radius,
        };
        let class = self.radius(probability).map(certified);
        Ok(class.map_or(Certificate::Abstained, Certificate::Class))
    }

    /// Noisy images as the classifier sees them.
    fn seen(&self, noisy: Images) -> Images {
        if self.clip {
            return noisy.within_unit();
        }
        noisy
    }

    /// How many noisy images have each class.
    fn counts(
        &self,
        model: &dyn AttackedModel,
        image: &Images,
        noise: Noise,
        draws: &dyn Draws,
    ) -> Result<Vec<u64>, Error> {
        if image.len() != 1 {
            return Err(Error::argument(
                "image",
                format!("{} images", image.len()),
                "one",
            ));
        }
        let mut counts = vec![0; model.num_classes()];
        for first in (0..noise.count).step_by(self.batch) {
            let count = self.batch.min(noise.count - first);
            let mut values = Vec::with_capacity(count * image.values().len());
            for number in first..first + count {
                let draw = Draw::new(noise.name, noise.sample).in_step(number);
                let drawn = draws.normal(draw, image.values().len())?;
                let noisy = image.values().iter().zip(drawn);
                values.extend(noisy.map(|(value, noise)| value + self.sigma * noise));
            }
            let noisy = Images::new(count, image.size(), values)?;
            let logits = model.logits(&self.seen(noisy))?;
            if logits.rows().flatten().any(|score| !score.is_finite()) {
                return Err(Error::NotFinite {
                    sample: noise.sample,
                });
            }
            for class in logits.predictions() {
                counts[class as usize] += 1;
            }
        }
        Ok(counts)
    }
}

/// Which noise: what the class is chosen by must not be what its probability is estimated by.
#[derive(Clone, Copy)]
struct Noise {
    name: &'static str,
    sample: u64,
    count: usize,
}

impl Noise {
    fn selection(smoothing: &Smoothing, sample: u64) -> Self {
        Self {
            name: "selection",
            sample,
            count: smoothing.selection,
        }
    }

    fn estimation(smoothing: &Smoothing, sample: u64) -> Self {
        Self {
            name: "estimation",
            sample,
            count: smoothing.estimation,
        }
    }
}

/// The most frequent class, of equal ones the first.
fn most(counts: &[u64]) -> u32 {
    let more = |best: usize, class: usize| {
        if counts[class] > counts[best] {
            class
        } else {
            best
        }
    };
    (0..counts.len()).fold(0, more) as u32
}
