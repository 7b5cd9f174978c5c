//! Losses of regions: how the pixels that are given to a class overlap with those that are of it.

use super::arguments::{not_negative, positive, some_weight, weight_per_channel};
use super::closed_form::{Chunk, Evaluated, Pixels};
use super::real::Real;
use super::softmax::probabilities;
use crate::Error;

/// What the losses of regions have in common. With `p` the probability of a class and `t` 1 where
/// it is true, summed over all pixels that count, the score of a class is
/// `(f Σpt + s) / max(i Σpt + c Σp + d Σt + s, eps)`.
#[derive(Debug, Clone)]
pub(super) struct Region<'a> {
    /// `f`.
    pub(super) factor: f64,
    /// `i`, of the overlap.
    pub(super) overlap: f64,
    /// `c`, of what is predicted.
    pub(super) predicted: f64,
    /// `d`, of what is true.
    pub(super) truth: f64,
    /// `s`.
    pub(super) smooth: f64,
    pub(super) eps: f64,
    /// The loss of a class is `−ln(max(score, eps))` in place of `1 − score`.
    pub(super) log_loss: bool,
    /// The classes over which the loss is averaged; `None` for all.
    pub(super) classes: Option<&'a [usize]>,
    /// The weight of each class of the logits in that mean; `None` for 1.
    pub(super) class_weights: Option<&'a [f64]>,
    /// The mean over the classes is raised to this power.
    pub(super) power: f64,
}

/// The sums of one class.
#[derive(Clone, Copy)]
struct Sums {
    /// `Σpt`.
    overlap: f64,
    /// `Σp`.
    predicted: f64,
    /// `Σt`.
    truth: f64,
}

/// The loss of one class, and its gradient by the probability of a pixel.
#[derive(Clone, Copy)]
struct ClassLoss {
    value: f64,
    /// Where the class is not true.
    background: f64,
    /// Where it is.
    foreground: f64,
}

impl ClassLoss {
    const NONE: Self = Self {
        value: 0.,
        background: 0.,
        foreground: 0.,
    };
}

impl Region<'_> {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<(), Error> {
        not_negative("smooth", self.smooth)?;
        positive("eps", self.eps)?;
        if self.classes.is_some_and(<[usize]>::is_empty) {
            return Err(Error::argument("classes", "no class", "at least one"));
        }
        self.class_weights.map_or(Ok(()), some_weight)
    }

    /// Checks that logits of so many channels have the classes and as many weights.
    pub(super) fn check_channels(&self, channels: usize) -> Result<(), Error> {
        self.check_classes(channels)?;
        let Some(weights) = self.class_weights else {
            return Ok(());
        };
        weight_per_channel(weights, channels)?;
        let counted = self.counted(channels);
        let weights: Vec<f64> = counted.iter().map(|&class| weights[class]).collect();
        some_weight(&weights)
    }

    /// The classes over which the loss is averaged.
    fn counted(&self, channels: usize) -> Vec<usize> {
        match self.classes {
            Some(classes) => classes.to_vec(),
            None => (0..channels).collect(),
        }
    }

    fn check_classes(&self, channels: usize) -> Result<(), Error> {
        let Some(classes) = self.classes else {
            return Ok(());
        };
        if channels == 1 {
            return Err(Error::argument(
                "classes",
                format!("{classes:?}"),
                "none for logits with one channel",
            ));
        }
        match classes.iter().find(|class| **class >= channels) {
            Some(class) => Err(Error::argument(
                "classes",
                format!("class {class}"),
                format!("classes below {channels}"),
            )),
            None => Ok(()),
        }
    }

    pub(super) fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T> {
        let channels = pixels.channels;
        let sums = class_sums(pixels);
        let counted = self.counted(channels);
        let weight = |class: usize| self.class_weights.map_or(1., |weights| weights[class]);
        let total: f64 = counted.iter().map(|&class| weight(class)).sum();
        let mut mean = 0.;
        // By the probability of each class where it is not true, and what is added where it is.
        let mut background = vec![0.; channels];
        let mut foreground = vec![0.; channels];
        for class in counted {
            let loss = self.class_loss(sums[class]);
            let share = weight(class) / total;
            mean += share * loss.value;
            background[class] += share * loss.background;
            foreground[class] += share * (loss.foreground - loss.background);
        }
        let outer = self.raised_slope(mean);
        let slopes = Slopes {
            background: background.iter().map(|slope| outer * slope).collect(),
            foreground: foreground.iter().map(|slope| outer * slope).collect(),
        };
        Evaluated {
            value: self.raised(mean),
            slope: Box::new(move |chunk, scale, gradient| slopes.add(chunk, scale, gradient)),
            reads_probabilities: true,
        }
    }

    /// The mean to the power.
    fn raised(&self, mean: f64) -> f64 {
        if self.power == 1. {
            mean
        } else if mean < 0. {
            // Rounding can leave a perfect score a hair above 1.
            0.
        } else {
            mean.powf(self.power)
        }
    }

    /// The derivative of the mean to the power; 0 where that has none.
    fn raised_slope(&self, mean: f64) -> f64 {
        if self.power == 1. {
            1.
        } else if mean <= 0. {
            0.
        } else {
            self.power * mean.powf(self.power - 1.)
        }
    }

    /// A class that is true nowhere counts as right.
    fn class_loss(&self, sums: Sums) -> ClassLoss {
        if sums.truth == 0. {
            return ClassLoss::NONE;
        }
        let numerator = self.factor * sums.overlap + self.smooth;
        let denominator = self.overlap * sums.overlap
            + self.predicted * sums.predicted
            + self.truth * sums.truth
            + self.smooth;
        let is_bounded = denominator < self.eps;
        let denominator = if is_bounded { self.eps } else { denominator };
        let score = numerator / denominator;
        let by_overlap = if is_bounded {
            self.factor / denominator
        } else {
            (self.factor - score * self.overlap) / denominator
        };
        let by_predicted = if is_bounded {
            0.
        } else {
            -score * self.predicted / denominator
        };
        let value = if !self.log_loss {
            1. - score
        } else if score < self.eps {
            -self.eps.ln()
        } else {
            -score.ln()
        };
        let outer = if !self.log_loss {
            -1.
        } else if score < self.eps {
            0.
        } else {
            -1. / score
        };
        ClassLoss {
            value,
            background: outer * by_predicted,
            foreground: outer * (by_overlap + by_predicted),
        }
    }
}

fn class_sums<T: Real>(pixels: &Pixels<'_, T>) -> Vec<Sums> {
    let channels = pixels.channels;
    let sums = pixels.sums(3 * channels, |chunk, scratch, sums| {
        let (values, _, largest) = scratch.room(chunk.logits.len());
        probabilities(chunk.logits, channels, values, largest);
        let (predicted, rest) = sums.split_at_mut(channels);
        let (overlap, truth) = rest.split_at_mut(channels);
        for (pixel, class) in chunk.counted() {
            let row = &values[chunk.row(pixel)];
            for (sum, probability) in predicted.iter_mut().zip(row) {
                *sum += probability.to_f64();
            }
            if let Some(target) = chunk.target(class) {
                overlap[target] += row[target].to_f64();
                truth[target] += 1.;
            }
        }
    });
    (0..channels)
        .map(|class| Sums {
            predicted: sums[class],
            overlap: sums[channels + class],
            truth: sums[2 * channels + class],
        })
        .collect()
}

/// Derivatives by the probabilities of a pixel.
struct Slopes {
    /// By that of each class.
    background: Vec<f64>,
    /// What is added for the true one.
    foreground: Vec<f64>,
}

impl Slopes {
    fn add<T: Real>(&self, chunk: &Chunk<'_, T>, scale: f64, gradient: &mut [T]) {
        let scaled = |slopes: &[f64]| -> Vec<T> {
            let scaled = slopes.iter().map(|slope| T::from_f64(scale * slope));
            scaled.collect()
        };
        let background = scaled(&self.background);
        let foreground = scaled(&self.foreground);
        for (pixel, class) in chunk.counted() {
            let row = chunk.row(pixel);
            let probabilities = &chunk.probabilities[row.clone()];
            let gradient = &mut gradient[row];
            let target = chunk.target(class);
            if chunk.channels == 1 {
                let slope = match target {
                    Some(_) => background[0] + foreground[0],
                    None => background[0],
                };
                let probability = probabilities[0];
                gradient[0] += slope * probability * (T::one() - probability);
                continue;
            }
            let mut mean = T::zero();
            for (&slope, &probability) in background.iter().zip(probabilities) {
                mean += slope * probability;
            }
            if let Some(target) = target {
                let extra = foreground[target] * probabilities[target];
                mean += extra;
                gradient[target] += extra;
            }
            let slopes = gradient.iter_mut().zip(&background).zip(probabilities);
            for ((gradient, &slope), &probability) in slopes {
                *gradient += probability * (slope - mean);
            }
        }
    }
}
