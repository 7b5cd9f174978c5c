//! Focal loss (Lin et al. 2017, <https://arxiv.org/abs/1708.02002>, equations 4 and 5).

use candle_core::Tensor;

use super::arguments::{not_negative, positive, share, some_weight, weight_per_channel};
use super::closed_form::{Chunk, ClosedForm, Evaluated, Pixels, Scratch, apply};
use super::real::Real;
use super::{PixelLoss, PixelTargets};
use crate::Error;

/// Focal loss: the binary cross-entropy of each class against the rest, of which what is right
/// already counts for less: `mean_k mean_i(−a (1 − p)^γ ln p)`.
///
/// `p` is the probability of what is true, `σ(x)` for the pixel's class and `σ(−x)` for every
/// other; means run over the classes and the pixels that count. With one channel there is one
/// class, 1.
///
/// It is `FocalLoss` of segmentation_models.pytorch 0.6, on logits. As there, also several classes
/// have sigmoids, not a softmax; earlier versions add the losses of the classes in place of their
/// mean. Where no pixel counts, loss and gradient are 0; PyTorch has NaN.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{FocalLoss, PixelLoss, PixelTargets};
///
/// // One image of one row with two pixels, one channel.
/// let logits = Tensor::new(&[[[[0f64], [0.]]]], &Device::Cpu)?;
/// let targets = PixelTargets::new(&Tensor::new(&[[[0u8, 1]]], &Device::Cpu)?)?;
/// let loss = FocalLoss::default()
///     .loss(&logits, &targets)?
///     .to_scalar::<f64>()?;
/// assert!((loss - 0.25 * 2f64.ln()).abs() < 1e-15);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FocalLoss {
    /// `a` is this where the class is true and one minus it elsewhere; in `0..=1`. Default `None`:
    /// 1 everywhere.
    pub alpha: Option<f64>,
    /// `γ`, not negative; default 2. With 0 it is the binary cross-entropy.
    pub gamma: f64,
    /// Divides the loss of each class by the sum of its factors `(1 − p)^γ`, at least 1e-6
    /// (<https://arxiv.org/abs/1909.07829>). As in segmentation_models.pytorch, that quotient is
    /// divided by the number of pixels as well, and the sum has a gradient. Default no.
    pub normalized: bool,
    /// In place of `(1 − p)^γ` the factor is 1 where `p` is below this threshold, and
    /// `((1 − p) / threshold)^γ` elsewhere (<https://arxiv.org/abs/1903.01347>); above 0, at most
    /// 1. Default `None`.
    pub reduced_threshold: Option<f64>,
    /// The weight of each class in the mean over them; finite, not negative, with a sum above 0; not
    /// for one channel. Default `None`: 1 each.
    pub class_weights: Option<Vec<f64>>,
}

/// The least sum of factors by which a loss is divided.
const LEAST_SUM: f64 = 1e-6;

impl Default for FocalLoss {
    fn default() -> Self {
        Self {
            alpha: None,
            gamma: 2.,
            normalized: false,
            reduced_threshold: None,
            class_weights: None,
        }
    }
}

impl PixelLoss for FocalLoss {
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        apply(self, logits, targets)
    }
}

impl FocalLoss {
    /// `a` where the class is not true, and where it is.
    fn alphas(&self) -> [f64; 2] {
        match self.alpha {
            Some(alpha) => [1. - alpha, alpha],
            None => [1., 1.],
        }
    }
}

impl ClosedForm for FocalLoss {
    const NAME: &'static str = "focal loss";

    fn check(&self) -> Result<(), Error> {
        not_negative("gamma", self.gamma)?;
        self.alpha.map_or(Ok(()), |alpha| share("alpha", alpha))?;
        self.reduced_threshold.map_or(Ok(()), |threshold| {
            positive("reduced_threshold", threshold)?;
            share("reduced_threshold", threshold)
        })?;
        self.class_weights.as_deref().map_or(Ok(()), some_weight)
    }

    fn check_channels(&self, channels: usize) -> Result<(), Error> {
        match &self.class_weights {
            Some(weights) => weight_per_channel(weights, channels),
            None => Ok(()),
        }
    }

    fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T> {
        let channels = pixels.channels;
        let factors = Factors::<T>::new(self);
        let alphas = self.alphas();
        let sums = pixels.sums(2 * channels + 1, |chunk, scratch, sums| {
            add_sums(&factors, alphas, chunk, scratch, sums);
        });
        let counted = sums[2 * channels];
        if counted == 0. {
            return Evaluated::nothing();
        }
        let weights = self
            .class_weights
            .clone()
            .unwrap_or_else(|| vec![1.; channels]);
        let total: f64 = weights.iter().sum();
        let mut value = 0.;
        let mut slopes = Slopes {
            factors,
            alphas,
            losses: weights
                .iter()
                .map(|weight| weight / (total * counted))
                .collect(),
            factor_sums: vec![0.; channels],
        };
        for class in 0..channels {
            let loss = sums[class];
            if self.normalized {
                let factor_sum = sums[channels + class];
                let divisor = factor_sum.max(LEAST_SUM);
                slopes.losses[class] /= divisor;
                if factor_sum >= LEAST_SUM {
                    slopes.factor_sums[class] = loss * slopes.losses[class] / divisor;
                }
            }
            value += loss * slopes.losses[class];
        }
        Evaluated {
            value,
            slope: Box::new(move |chunk, scale, gradient| slopes.add(chunk, scale, gradient)),
            reads_probabilities: false,
        }
    }
}

/// The factor `(1 − p)^γ` as a function of the margin `z`, the logit of what is true: `p = σ(z)`.
#[derive(Clone, Copy)]
struct Factors<T> {
    gamma: T,
    /// Whether `γ` is 2.
    is_square: bool,
    /// 0 where there is none, since no `p` is below that.
    threshold: T,
    /// `threshold^−γ`.
    scale: T,
}

/// What a loss and its slope are made from at one margin.
struct AtMargin<T> {
    /// `p`.
    right: T,
    /// `1 − p`.
    wrong: T,
    /// `−ln p`.
    loss: T,
    /// `(1 − p)^γ`, or its reduced form.
    factor: T,
    /// `−1 / p` times the derivative of the factor by `z`, which is `γ · factor` or 0.
    steepness: T,
}

impl<T: Real> Factors<T> {
    fn new(loss: &FocalLoss) -> Self {
        let scale = loss
            .reduced_threshold
            .map_or(1., |threshold| threshold.powf(-loss.gamma));
        Self {
            gamma: T::from_f64(loss.gamma),
            is_square: loss.gamma == 2.,
            threshold: T::from_f64(loss.reduced_threshold.unwrap_or(0.)),
            scale: T::from_f64(scale),
        }
    }

    /// Puts two numbers in place of each margin and of what stands beside it.
    fn each(&self, margins: &mut [T], others: &mut [T], numbers: impl Fn(AtMargin<T>) -> [T; 2]) {
        // The loops have no branches, so that they are compiled for several numbers at a time.
        let places = margins.iter_mut().zip(others);
        if self.is_square {
            for (margin, other) in places {
                [*margin, *other] = numbers(self.at::<true>(*margin));
            }
        } else {
            for (margin, other) in places {
                [*margin, *other] = numbers(self.at::<false>(*margin));
            }
        }
    }

    #[inline(always)]
    fn at<const IS_SQUARE: bool>(&self, z: T) -> AtMargin<T> {
        let one = T::one();
        let zero = T::zero();
        let small = (zero - z.abs()).exp_of_negative();
        let log = small.ln_1p_of_share();
        let share = one / (one + small);
        let rest = small * share;
        let right = if z < zero { rest } else { share };
        let wrong = if z < zero { share } else { rest };
        let power = if IS_SQUARE {
            wrong * wrong
        } else {
            // ln(1 − p) is minus the softplus of z.
            (zero - self.gamma * (z.larger(zero) + log)).exp_of_negative()
        };
        let factor = self.scale * power;
        let is_below = right < self.threshold;
        AtMargin {
            right,
            wrong,
            loss: (zero - z).larger(zero) + log,
            factor: if is_below { one } else { factor },
            steepness: if is_below { zero } else { self.gamma * factor },
        }
    }
}

/// Writes the logit of what is true: that of the pixel's class, and minus that of every other.
fn margins<T: Real>(chunk: &Chunk<'_, T>, margins: &mut [T]) {
    for (margin, &x) in margins.iter_mut().zip(chunk.logits) {
        *margin = T::zero() - x;
    }
    for (pixel, class) in chunk.counted() {
        if let Some(target) = chunk.target(class) {
            let place = pixel * chunk.channels + target;
            margins[place] = chunk.logits[place];
        }
    }
}

/// Adds for each class the losses times `a`, then for each class the factors, then the number of
/// pixels.
fn add_sums<T: Real>(
    factors: &Factors<T>,
    alphas: [f64; 2],
    chunk: &Chunk<'_, T>,
    scratch: &mut Scratch<T>,
    sums: &mut [f64],
) {
    let channels = chunk.channels;
    let (losses, values, _) = scratch.room(chunk.logits.len());
    margins(chunk, losses);
    factors.each(losses, values, |at| [at.factor * at.loss, at.factor]);
    let [elsewhere, own] = alphas;
    let (of_losses, rest) = sums.split_at_mut(channels);
    let (of_factors, count) = rest.split_at_mut(channels);
    for (pixel, class) in chunk.counted() {
        let row = chunk.row(pixel);
        let losses = &losses[row.clone()];
        let sums = of_losses.iter_mut().zip(of_factors.iter_mut());
        for ((loss_sum, factor_sum), (loss, factor)) in sums.zip(losses.iter().zip(&values[row])) {
            *loss_sum += elsewhere * loss.to_f64();
            *factor_sum += factor.to_f64();
        }
        if let Some(target) = chunk.target(class) {
            of_losses[target] += (own - elsewhere) * losses[target].to_f64();
        }
        count[0] += 1.;
    }
}

/// Derivatives of the whole by the sums of each class.
struct Slopes<T> {
    factors: Factors<T>,
    alphas: [f64; 2],
    /// By the sum of the losses.
    losses: Vec<f64>,
    /// Minus that by the sum of the factors.
    factor_sums: Vec<f64>,
}

impl<T: Real> Slopes<T> {
    fn add(&self, chunk: &Chunk<'_, T>, scale: f64, gradient: &mut [T]) {
        let [elsewhere, own] = self.alphas;
        let scaled = |slopes: &[f64], factor: f64| -> Vec<T> {
            let scaled = slopes
                .iter()
                .map(|slope| T::from_f64(scale * factor * slope));
            scaled.collect()
        };
        let elsewhere = scaled(&self.losses, elsewhere);
        let own = scaled(&self.losses, own);
        let factor_sums = scaled(&self.factor_sums, 1.);
        // The derivatives of losses and factors by the margins, the sign of the former turned.
        let mut of_losses = vec![T::zero(); chunk.logits.len()];
        let mut of_factors = of_losses.clone();
        margins(chunk, &mut of_losses);
        self.factors.each(&mut of_losses, &mut of_factors, |at| {
            let of_factor = at.steepness * at.right;
            [of_factor * at.loss + at.factor * at.wrong, of_factor]
        });
        for (pixel, class) in chunk.counted() {
            let row = chunk.row(pixel);
            let of_losses = &of_losses[row.clone()];
            let of_factors = &of_factors[row.clone()];
            let gradient = &mut gradient[row];
            // The margin is the logit of the pixel's class, and minus that of every other.
            let own_slope = chunk.target(class).map(|target| {
                let slope =
                    factor_sums[target] * of_factors[target] - own[target] * of_losses[target];
                (target, gradient[target] + slope)
            });
            let slopes = elsewhere.iter().zip(&factor_sums);
            let derivatives = of_losses.iter().zip(of_factors);
            for (slope, ((&by_loss, &by_factor), (&of_loss, &of_factor))) in
                gradient.iter_mut().zip(slopes.zip(derivatives))
            {
                *slope += by_loss * of_loss - by_factor * of_factor;
            }
            if let Some((target, slope)) = own_slope {
                gradient[target] = slope;
            }
        }
    }
}
