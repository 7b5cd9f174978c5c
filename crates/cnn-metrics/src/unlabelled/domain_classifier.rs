//! Logistic regression of the domain on features, by Newton's method with conjugate gradients (Lin,
//! Weng & Keerthi 2008, "Trust region Newton method for large-scale logistic regression", with a
//! line search in place of the region).

use super::features::{DomainFeatures, check_rows};
use crate::Error;
use crate::decomposition::dot;

/// More steps than a convex and smooth loss needs.
const MOST_STEPS: usize = 200;
/// The norm of the gradient of a mean loss at which it is as small as rounding lets it be.
const SMALLEST_GRADIENT: f64 = 1e-11;

/// How a [`DomainClassifier`] is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DomainClassifierConfig {
    /// How much half the squared length of the weights counts beside the mean loss; above 0, default
    /// 1e-3. scikit-learn's `C` is 1 over this and the number of images.
    pub penalty: f64,
}

impl Default for DomainClassifierConfig {
    fn default() -> Self {
        Self { penalty: 1e-3 }
    }
}

/// Tells from features which domain an image is from: `σ(w · z + b)` is the probability of the source,
/// with `z` the features scaled to mean 0 and standard deviation 1 over the images learnt from.
///
/// `w` and `b` are where the mean of `−ln p(domain)` plus `penalty / 2 · |w|²` is smallest, a single
/// place: nothing is random.
///
/// ```
/// use cnn_metrics::{DomainClassifier, DomainClassifierConfig, DomainFeatures};
///
/// let features = DomainFeatures { source: &[0.0, 1.0, 2.0], target: &[2.0, 3.0, 4.0], columns: 1 };
/// let classifier = DomainClassifier::fit(features, &DomainClassifierConfig::default())?;
/// let probabilities = classifier.source_probabilities(&[0.0, 2.0, 4.0])?;
/// assert!(probabilities[0] > 0.9 && probabilities[2] < 0.1);
/// assert!((probabilities[1] - 0.5).abs() < 1e-9);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DomainClassifier {
    scaling: Vec<Scaling>,
    /// The weights of the features and the bias behind them.
    weights: Vec<f64>,
    /// How many images of the source there were for each of the target.
    source_per_target: f64,
}

impl DomainClassifier {
    /// Fits it to features of both domains.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] unless each domain has at least 1 whole row of finite numbers and the
    /// penalty is a finite number above 0.
    pub fn fit(
        features: DomainFeatures<'_>,
        config: &DomainClassifierConfig,
    ) -> Result<Self, Error> {
        features.check(1)?;
        if !(config.penalty.is_finite() && config.penalty > 0.0) {
            return Err(Error::argument(
                "penalty",
                config.penalty,
                "a finite number above 0",
            ));
        }
        let rows = || features.source_rows().chain(features.target_rows());
        let scaling: Vec<Scaling> = (0..features.columns)
            .map(|column| Scaling::of(|| rows().map(|row| f64::from(row[column]))))
            .collect();
        let source = features.source_rows().count();
        let problem = Problem {
            rows: rows().map(|row| scaled(row, &scaling)).collect(),
            source,
            penalty: config.penalty,
        };
        let weights = problem.minimum();
        let target = features.target_rows().count();
        Ok(Self {
            scaling,
            weights,
            source_per_target: source as f64 / target as f64,
        })
    }

    /// The probability that each image is of the source.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] unless `features` are whole rows of finite numbers, as many each as
    /// the classifier was fitted to.
    pub fn source_probabilities(&self, features: &[f32]) -> Result<Vec<f64>, Error> {
        Ok(self.scores(features)?.into_iter().map(sigmoid).collect())
    }

    /// The target's density over the source's at each image, `N_s / N_t · p(target) / p(source)`.
    ///
    /// # Errors
    ///
    /// As [`source_probabilities`](Self::source_probabilities).
    pub fn density_ratios(&self, features: &[f32]) -> Result<Vec<f64>, Error> {
        let scores = self.scores(features)?.into_iter();
        // (1 − σ(x)) / σ(x) = e^(−x)
        Ok(scores
            .map(|x| self.source_per_target * (-x).exp())
            .collect())
    }

    fn scores(&self, features: &[f32]) -> Result<Vec<f64>, Error> {
        let columns = self.scaling.len();
        check_rows("features", features, columns)?;
        let rows = features.chunks_exact(columns);
        Ok(rows
            .map(|row| score(&scaled(row, &self.scaling), &self.weights))
            .collect())
    }
}

/// How a feature becomes one of mean 0 and standard deviation 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scaling {
    mean: f64,
    /// 1 where the feature never changes.
    deviation: f64,
}

impl Scaling {
    fn of<I: Iterator<Item = f64>>(values: impl Fn() -> I) -> Self {
        let count = values().count() as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        // The mean of equal numbers may differ from them in the last digit.
        let is_constant = variance.sqrt() <= 1e-12 * mean.abs();
        let deviation = if is_constant { 1.0 } else { variance.sqrt() };
        Self { mean, deviation }
    }
}

fn scaled(row: &[f32], scaling: &[Scaling]) -> Vec<f64> {
    let scaled =
        |(&x, scaling): (&f32, &Scaling)| (f64::from(x) - scaling.mean) / scaling.deviation;
    row.iter().zip(scaling).map(scaled).collect()
}

/// `w · z + b`.
fn score(row: &[f64], weights: &[f64]) -> f64 {
    let bias = weights.last().copied().unwrap_or(0.0);
    dot(row, weights) + bias
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// What is minimised: the source's rows come first.
struct Problem {
    rows: Vec<Vec<f64>>,
    source: usize,
    penalty: f64,
}

impl Problem {
    fn minimum(&self) -> Vec<f64> {
        let mut weights = vec![0.0; self.rows.first().map_or(0, Vec::len) + 1];
        for _ in 0..MOST_STEPS {
            let probabilities: Vec<f64> = self
                .rows
                .iter()
                .map(|row| sigmoid(score(row, &weights)))
                .collect();
            let gradient = self.gradient(&weights, &probabilities);
            if dot(&gradient, &gradient).sqrt() <= SMALLEST_GRADIENT {
                break;
            }
            let direction = self.newton_direction(&gradient, &probabilities);
            let Some(next) = self.better(&weights, &gradient, &direction) else {
                break;
            };
            weights = next;
        }
        weights
    }

    /// The weights after the longest of a whole step, half of it, … that lowers the value as its slope
    /// promises; `None` where rounding hides whether any does.
    fn better(&self, weights: &[f64], gradient: &[f64], direction: &[f64]) -> Option<Vec<f64>> {
        let value = self.value(weights);
        let slope = dot(gradient, direction);
        let steps = std::iter::successors(Some(1.0), |step| Some(step / 2.0)).take(40);
        let mut moved = steps.map(|step: f64| {
            let next: Vec<f64> = weights
                .iter()
                .zip(direction)
                .map(|(w, d)| w + step * d)
                .collect();
            (step, next)
        });
        let lowers = |(step, next): &(f64, Vec<f64>)| {
            // Near the minimum the promise is below the value's last digit.
            self.value(next) <= value + 1e-4 * step * slope + 4.0 * f64::EPSILON * value.abs()
        };
        moved.find(lowers).map(|(_, next)| next)
    }

    fn value(&self, weights: &[f64]) -> f64 {
        let loss = |(at, row): (usize, &Vec<f64>)| {
            let score = score(row, weights);
            let right = if at < self.source { score } else { -score };
            (-right.abs()).exp().ln_1p() + (-right).max(0.0)
        };
        let total: f64 = self.rows.iter().enumerate().map(loss).sum();
        let penalised = &weights[..weights.len() - 1];
        total / self.rows.len() as f64 + self.penalty / 2.0 * dot(penalised, penalised)
    }

    fn gradient(&self, weights: &[f64], probabilities: &[f64]) -> Vec<f64> {
        let errors = probabilities.iter().enumerate();
        let errors = errors.map(|(at, p)| if at < self.source { p - 1.0 } else { *p });
        self.combined(errors, weights)
    }

    /// `H v`, the product with the matrix of second derivatives.
    fn curvature(&self, vector: &[f64], probabilities: &[f64]) -> Vec<f64> {
        let rows = self.rows.iter().zip(probabilities);
        let shares = rows.map(|(row, p)| p * (1.0 - p) * score(row, vector));
        self.combined(shares, vector)
    }

    /// `Σ_n share_n z_n / N + penalty · vector`, the bias without the penalty.
    fn combined(&self, shares: impl Iterator<Item = f64>, vector: &[f64]) -> Vec<f64> {
        let count = self.rows.len() as f64;
        let mut sum = vec![0.0; vector.len()];
        for (row, share) in self.rows.iter().zip(shares) {
            let with_bias = row.iter().chain(std::iter::once(&1.0));
            sum.iter_mut()
                .zip(with_bias)
                .for_each(|(sum, x)| *sum += share * x);
        }
        sum.iter_mut().for_each(|sum| *sum /= count);
        let features = vector.len() - 1;
        let penalised = sum.iter_mut().zip(&vector[..features]);
        penalised.for_each(|(sum, x)| *sum += self.penalty * x);
        sum
    }

    /// `−H⁻¹ g` by conjugate gradients, the more exact the smaller the gradient is.
    fn newton_direction(&self, gradient: &[f64], probabilities: &[f64]) -> Vec<f64> {
        let norm = dot(gradient, gradient).sqrt();
        let wanted = norm * norm.sqrt().min(0.1);
        let mut direction = vec![0.0; gradient.len()];
        let mut residual: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut search = residual.clone();
        let mut square = norm * norm;
        for _ in 0..2 * gradient.len() {
            let image = self.curvature(&search, probabilities);
            let bend = dot(&search, &image);
            if square.sqrt() <= wanted || bend <= 0.0 {
                break;
            }
            let step = square / bend;
            direction
                .iter_mut()
                .zip(&search)
                .for_each(|(d, s)| *d += step * s);
            residual
                .iter_mut()
                .zip(&image)
                .for_each(|(r, i)| *r -= step * i);
            let next = dot(&residual, &residual);
            let kept = next / square;
            search
                .iter_mut()
                .zip(&residual)
                .for_each(|(s, r)| *s = r + kept * *s);
            square = next;
        }
        // The curvature is above 0 everywhere, but rounding may find none in the first direction.
        if direction.iter().all(|&d| d == 0.0) {
            return gradient.iter().map(|g| -g).collect();
        }
        direction
    }
}
