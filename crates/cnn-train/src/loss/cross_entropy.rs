//! Cross-entropy of class logits: label smoothing (Szegedy et al. 2016,
//! <https://arxiv.org/abs/1512.00567>, section 7), class weights, soft targets.

use candle_core::{D, Device, Tensor};

use crate::Error;

/// What the logits should say.
#[derive(Debug, Clone)]
pub enum Targets {
    /// One class per sample: `N` indices below `K`.
    Classes(Vec<u32>),
    /// A distribution per sample, `(N, K)`: mixed images, distillation.
    Soft(Tensor),
}

impl Targets {
    /// A distribution per sample, `(N, K)`; that of a class is 1 there and 0 elsewhere.
    ///
    /// # Errors
    /// [`Error::Argument`] for a class beyond `classes`.
    pub fn distributions(&self, classes: usize) -> Result<Tensor, Error> {
        let labels = match self {
            Self::Classes(labels) => labels,
            Self::Soft(soft) => return Ok(soft.clone()),
        };
        let mut values = vec![0f32; labels.len() * classes];
        for (row, &label) in labels.iter().enumerate() {
            if label as usize >= classes {
                return Err(Error::argument("class", label, format!("below {classes}")));
            }
            values[row * classes + label as usize] = 1.;
        }
        Ok(Tensor::from_vec(
            values,
            (labels.len(), classes),
            &Device::Cpu,
        )?)
    }
}

/// Cross-entropy, averaged over the batch: `−Σ_n Σ_k w_k q_nk ln softmax(x_n)_k / Z`, with the
/// semantics of PyTorch's `cross_entropy`.
///
/// `q = (1 − ε) t + ε / K` are the smoothed targets. `Z` is the number of samples for soft targets,
/// and the sum of the weights of the samples' classes for class indices. Logits may be large: the
/// largest of each row is subtracted first.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{CrossEntropy, Targets};
///
/// let logits = Tensor::new(&[[0f32, 0.], [1e4, -1e4]], &Device::Cpu)?;
/// let loss = CrossEntropy::default()
///     .loss(&logits, &Targets::Classes(vec![1, 0]))?
///     .to_scalar::<f32>()?;
/// assert!((loss - 2f32.ln() / 2.).abs() < 1e-6);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropy {
    /// `ε`, the share of each target that is spread over all classes; in `0..=1`, default 0.
    pub label_smoothing: f64,
    /// `w`, a weight per class; finite, not negative. Default `None`: 1 each.
    pub class_weights: Option<Vec<f64>>,
}

impl CrossEntropy {
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

    /// The loss as a scalar of the logits' element type.
    ///
    /// # Shapes
    /// Logits `(N, K)`, targets as [`Targets`] says.
    ///
    /// # Errors
    /// If a shape, a class index, the smoothing or a weight is out of its range, or all samples'
    /// classes have weight 0.
    pub fn loss(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        let (samples, classes) = match *logits.dims() {
            [samples, classes] if samples > 0 && classes > 0 => (samples, classes),
            ref other => {
                return Err(Error::argument(
                    "logits",
                    format!("shape {other:?}"),
                    "shape (samples, classes), not empty",
                ));
            }
        };
        self.validate(classes)?;
        let coefficients = match targets {
            Targets::Classes(labels) => {
                let coefficients = self.class_coefficients(labels, samples, classes)?;
                Tensor::from_vec(coefficients, (samples, classes), logits.device())?
                    .to_dtype(logits.dtype())?
            }
            Targets::Soft(soft) => self.soft_coefficients(soft, logits)?,
        };
        Ok((coefficients * log_softmax(logits)?)?.sum_all()?.neg()?)
    }

    fn validate(&self, classes: usize) -> Result<(), Error> {
        if !(0. ..=1.).contains(&self.label_smoothing) {
            return Err(Error::argument(
                "label_smoothing",
                self.label_smoothing,
                "0 to 1",
            ));
        }
        let Some(weights) = &self.class_weights else {
            return Ok(());
        };
        if weights.len() != classes {
            let expected = format!("{classes}, one per class of the logits");
            return Err(Error::argument(
                "class_weights",
                format!("{} weights", weights.len()),
                expected,
            ));
        }
        match weights
            .iter()
            .find(|weight| !(weight.is_finite() && **weight >= 0.))
        {
            Some(weight) => Err(Error::argument(
                "class_weights",
                weight,
                "finite numbers, not negative",
            )),
            None => Ok(()),
        }
    }

    fn weight(&self, class: usize) -> f64 {
        self.class_weights
            .as_ref()
            .map_or(1., |weights| weights[class])
    }

    /// What multiplies each log-probability, `(N, K)`.
    fn class_coefficients(
        &self,
        labels: &[u32],
        samples: usize,
        classes: usize,
    ) -> Result<Vec<f64>, Error> {
        if labels.len() != samples {
            let expected = format!("{samples}, one per row of the logits");
            return Err(Error::argument(
                "targets",
                format!("{} class indices", labels.len()),
                expected,
            ));
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
            return Err(Error::argument(
                "targets",
                format!("class {label}"),
                format!("a class below {classes}"),
            ));
        }
        let total: f64 = labels
            .iter()
            .map(|&label| self.weight(label as usize))
            .sum();
        if total == 0. {
            return Err(Error::argument(
                "class_weights",
                "weight 0 for every class of the batch",
                "a sum above 0",
            ));
        }
        let spread = self.label_smoothing / classes as f64;
        let coefficient = |label: usize, class: usize| {
            let target = if class == label {
                1. - self.label_smoothing + spread
            } else {
                spread
            };
            self.weight(class) * target / total
        };
        let rows = labels
            .iter()
            .flat_map(|&label| (0..classes).map(move |class| (label as usize, class)));
        Ok(rows
            .map(|(label, class)| coefficient(label, class))
            .collect())
    }

    fn soft_coefficients(&self, soft: &Tensor, logits: &Tensor) -> Result<Tensor, Error> {
        super::same_shape(logits, soft)?;
        let (samples, classes) = logits.dims2()?;
        let soft = soft.to_dtype(logits.dtype())?;
        let smooth = soft.affine(
            1. - self.label_smoothing,
            self.label_smoothing / classes as f64,
        )?;
        let weights: Vec<f64> = (0..classes)
            .map(|class| self.weight(class) / samples as f64)
            .collect();
        let weights =
            Tensor::from_vec(weights, (1, classes), logits.device())?.to_dtype(logits.dtype())?;
        Ok(smooth.broadcast_mul(&weights)?)
    }
}

/// `ln softmax` along the last dimension, with a gradient, which candle-nn's fused softmax has not.
/// Large values are no harm: the largest of each row is subtracted first.
///
/// # Errors
/// If candle reports one.
pub fn log_softmax(logits: &Tensor) -> candle_core::Result<Tensor> {
    // The shift cancels, so that it needs no gradient of its own.
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let sum = shifted.exp()?.sum_keepdim(D::Minus1)?;
    shifted.broadcast_sub(&sum.log()?)
}
