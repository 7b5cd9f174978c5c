//! Cross-entropy of every pixel: label smoothing (Szegedy et al. 2016,
//! <https://arxiv.org/abs/1512.00567>, section 7), class weights.

use candle_core::Tensor;

use super::arguments::{not_negative, share, weight_per_class};
use super::closed_form::{Chunk, ClosedForm, Evaluated, Pixels, Scratch, apply, classes};
use super::real::Real;
use super::softmax::{exponentials, softplus};
use super::{PixelLoss, PixelTargets};
use crate::Error;

/// Cross-entropy, averaged over the pixels that count: `−Σ_i Σ_k w_k q_ik ln softmax(x_i)_k / Z`,
/// with the semantics of PyTorch's `cross_entropy(ignore_index=255)`.
///
/// `q = (1 − ε) t + ε / K` are the smoothed targets, and `Z` is the sum of the weights of the
/// pixels' classes. With one channel it is the cross-entropy of two classes with the logits 0 and
/// `x`, so that `σ(x)` is the probability of class 1; without weights that is PyTorch's
/// `binary_cross_entropy_with_logits`.
///
/// It is also `SoftCrossEntropyLoss` of segmentation_models.pytorch, whose mean counts ignored
/// pixels too: see [`count_ignored`](Self::count_ignored). Its `SoftBCEWithLogitsLoss` calls half
/// the label smoothing `smooth_factor`.
///
/// Where no pixel counts, or all that do have weight 0, loss and gradient are 0; PyTorch has NaN.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{PixelCrossEntropy, PixelLoss, PixelTargets};
///
/// // One image of one row with three pixels, two classes.
/// let logits = Tensor::new(&[[[[0f32, 0.], [1e4, -1e4], [3., 5.]]]], &Device::Cpu)?;
/// let targets = PixelTargets::new(&Tensor::new(&[[[1u8, 0, 255]]], &Device::Cpu)?)?;
/// let loss = PixelCrossEntropy::default()
///     .loss(&logits, &targets)?
///     .to_scalar::<f32>()?;
/// assert!((loss - 2f32.ln() / 2.).abs() < 1e-6);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PixelCrossEntropy {
    /// `ε`, the share of each target that is spread over all classes; in `0..=1`, default 0.
    pub label_smoothing: f64,
    /// `w`, a weight per class, of which there are two for one channel; finite, not negative.
    /// Default `None`: 1 each.
    pub class_weights: Option<Vec<f64>>,
    /// `Z` is the number of all pixels, whether they count or not, and whatever they weigh.
    /// Default no.
    pub count_ignored: bool,
}

impl PixelCrossEntropy {
    /// Sets the label smoothing.
    #[must_use]
    pub fn with_label_smoothing(self, label_smoothing: f64) -> Self {
        Self {
            label_smoothing,
            ..self
        }
    }

    /// Sets a weight per class.
    #[must_use]
    pub fn with_class_weights(self, class_weights: Vec<f64>) -> Self {
        Self {
            class_weights: Some(class_weights),
            ..self
        }
    }
}

impl PixelLoss for PixelCrossEntropy {
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        apply(self, logits, targets)
    }
}

/// `w_k q_k` of a pixel: the class's own part, and every class's.
#[derive(Clone)]
struct Coefficients {
    /// `(1 − ε) w` of the pixel's class.
    own: Vec<f64>,
    /// `ε w / K` of every class.
    spread: Vec<f64>,
}

impl ClosedForm for PixelCrossEntropy {
    const NAME: &'static str = "cross-entropy of pixels";

    fn check(&self) -> Result<(), Error> {
        share("label_smoothing", self.label_smoothing)?;
        let mut weights = self.class_weights.iter().flatten();
        weights.try_for_each(|&weight| not_negative("class_weights", weight))
    }

    fn check_channels(&self, channels: usize) -> Result<(), Error> {
        match &self.class_weights {
            Some(weights) => weight_per_class(weights, channels),
            None => Ok(()),
        }
    }

    fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T> {
        let classes = classes(pixels.channels);
        let weights = self
            .class_weights
            .clone()
            .unwrap_or_else(|| vec![1.; classes]);
        let spread = self.label_smoothing / classes as f64;
        let coefficients = Coefficients {
            own: weights
                .iter()
                .map(|weight| (1. - self.label_smoothing) * weight)
                .collect(),
            spread: weights.iter().map(|weight| spread * weight).collect(),
        };
        let sums = pixels.sums(2, |chunk, scratch, sums| {
            sums[0] += if chunk.channels == 1 {
                coefficients.binary_sum(chunk)
            } else {
                coefficients.sum(chunk, scratch)
            };
            for (_, class) in chunk.counted() {
                sums[1] += weights[usize::from(class)];
            }
        });
        let &[sum, weight] = sums.as_slice() else {
            return Evaluated::nothing();
        };
        if weight == 0. {
            return Evaluated::nothing();
        }
        let total = if self.count_ignored {
            pixels.masks.len() as f64
        } else {
            weight
        };
        Evaluated {
            value: sum / total,
            slope: Box::new(move |chunk, scale, gradient| {
                if chunk.channels == 1 {
                    coefficients.add_binary_gradient(chunk, scale / total, gradient);
                } else {
                    coefficients.add_gradient(chunk, scale / total, gradient);
                }
            }),
            reads_probabilities: true,
        }
    }
}

impl Coefficients {
    /// The losses of a chunk's pixels.
    fn sum<T: Real>(&self, chunk: &Chunk<'_, T>, scratch: &mut Scratch<T>) -> f64 {
        let (values, _, largest) = scratch.room(chunk.logits.len());
        exponentials(chunk.logits, chunk.channels, values, largest);
        let everywhere: f64 = self.spread.iter().sum();
        let mut loss = 0.;
        for (pixel, class) in chunk.counted() {
            let row = chunk.row(pixel);
            let class = usize::from(class);
            let sum = values[row.clone()]
                .iter()
                .fold(T::zero(), |sum, &value| sum + value);
            let logits = &chunk.logits[row];
            let most = largest[pixel].to_f64();
            let log_sum = sum.to_f64().ln();
            loss += self.own[class] * (log_sum + (most - logits[class].to_f64()));
            if everywhere > 0. {
                loss += everywhere * log_sum;
                for (spread, logit) in self.spread.iter().zip(logits) {
                    loss += spread * (most - logit.to_f64());
                }
            }
        }
        loss
    }

    fn add_gradient<T: Real>(&self, chunk: &Chunk<'_, T>, scale: f64, gradient: &mut [T]) {
        let everywhere: f64 = self.spread.iter().sum();
        let spread: Vec<T> = self
            .spread
            .iter()
            .map(|spread| T::from_f64(scale * spread))
            .collect();
        for (pixel, class) in chunk.counted() {
            let row = chunk.row(pixel);
            let class = usize::from(class);
            let gradient = &mut gradient[row.clone()];
            let total = T::from_f64(scale * (self.own[class] + everywhere));
            for (slope, &probability) in gradient.iter_mut().zip(&chunk.probabilities[row]) {
                *slope += total * probability;
            }
            gradient[class] -= T::from_f64(scale * self.own[class]);
            if everywhere > 0. {
                for (slope, &spread) in gradient.iter_mut().zip(&spread) {
                    *slope -= spread;
                }
            }
        }
    }

    /// `w_0 q_0` and `w_1 q_1` of a pixel of this class.
    fn binary(&self, class: u8) -> [f64; 2] {
        let own = self.own[usize::from(class)];
        match class {
            0 => [self.spread[0] + own, self.spread[1]],
            _ => [self.spread[0], self.spread[1] + own],
        }
    }

    fn binary_sum<T: Real>(&self, chunk: &Chunk<'_, T>) -> f64 {
        let mut loss = 0.;
        for (pixel, class) in chunk.counted() {
            let x = chunk.logits[pixel];
            let [no, yes] = self.binary(class);
            loss += no * softplus(x).to_f64() + yes * softplus(T::zero() - x).to_f64();
        }
        loss
    }

    fn add_binary_gradient<T: Real>(&self, chunk: &Chunk<'_, T>, scale: f64, gradient: &mut [T]) {
        for (pixel, class) in chunk.counted() {
            let [no, yes] = self.binary(class);
            let probability = chunk.probabilities[pixel];
            let opposite = super::softmax::sigmoid(T::zero() - chunk.logits[pixel]);
            gradient[pixel] += T::from_f64(scale * no) * probability;
            gradient[pixel] -= T::from_f64(scale * yes) * opposite;
        }
    }
}
