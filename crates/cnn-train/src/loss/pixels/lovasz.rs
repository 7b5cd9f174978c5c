//! Lovász losses (Berman et al. 2018, <https://arxiv.org/abs/1705.08790>): the convex extension of
//! the Jaccard loss to errors that are not 0 or 1.

use candle_core::Tensor;
use cnn_data::Mask;
use rayon::prelude::*;

use super::closed_form::{Chunk, ClosedForm, Evaluated, Pixels, Scratch, apply};
use super::real::Real;
use super::softmax::probabilities;
use super::{PixelLoss, PixelTargets};
use crate::Error;

/// Lovász-softmax (equation 11) for several channels, Lovász hinge (equation 8) for one.
///
/// The errors of a class, the greatest first, are weighted by how much each adds to the Jaccard
/// loss of the class when it is added to those before (algorithm 1). An error is `1 − p` where the
/// class is true and `p` elsewhere, with `p` its softmax, and the loss is the mean over the classes
/// that are true anywhere. With one channel, an error is `max(1 − x, 0)` where class 1 is true and
/// `max(1 + x, 0)` elsewhere, of the logit and not of a probability.
///
/// It is `LovaszLoss` of segmentation_models.pytorch 0.6. Pixels that are ignored are left out. Where
/// no pixel counts, loss and gradient are 0; with [`per_image`](Self::per_image) an image without
/// pixels that count has loss 0 and is part of the mean. Of equal errors the earlier pixel comes
/// first, which is one of several gradients there.
///
/// The forward pass makes one tensor of the logits' size, which the gradient keeps.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{LovaszLoss, PixelLoss, PixelTargets};
///
/// // One image of one row with two pixels, one channel: one is right with certainty.
/// let logits = Tensor::new(&[[[[-2f64], [0.5]]]], &Device::Cpu)?;
/// let targets = PixelTargets::new(&Tensor::new(&[[[0u8, 1]]], &Device::Cpu)?)?;
/// let loss = LovaszLoss::default()
///     .loss(&logits, &targets)?
///     .to_scalar::<f64>()?;
/// assert_eq!(loss, 0.5);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LovaszLoss {
    /// The mean over the losses of images, in place of the loss of all pixels of the batch. Default
    /// no.
    pub per_image: bool,
}

impl PixelLoss for LovaszLoss {
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        apply(self, logits, targets)
    }
}

impl ClosedForm for LovaszLoss {
    const NAME: &'static str = "Lovász loss";

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T> {
        // For each chunk the errors of one class after the other; then the derivatives by them.
        let mut planes = vec![T::zero(); pixels.logits.len()];
        let value = if self.per_image {
            let images: Vec<Pixels<'_, T>> = pixels.images().collect();
            let share = 1. / images.len() as f64;
            let planes = planes.chunks_mut(pixels.image_pixels * pixels.channels);
            let losses = images
                .iter()
                .zip(planes)
                .map(|(image, planes)| evaluate_group(image, planes, share));
            losses.sum()
        } else {
            evaluate_group(pixels, &mut planes, 1.)
        };
        Evaluated {
            value,
            slope: Box::new(move |chunk, scale, gradient| {
                add_gradient(&planes, chunk, scale, gradient);
            }),
            reads_probabilities: true,
        }
    }
}

/// The loss of some pixels times a share, with its derivatives by the errors in `planes`.
fn evaluate_group<T: Real>(pixels: &Pixels<'_, T>, planes: &mut [T], share: f64) -> f64 {
    let channels = pixels.channels;
    let chunks = pixels.chunks();
    let parts: Vec<&mut [T]> = pixels.cut_mut(planes, channels).collect();
    chunks.into_par_iter().zip(parts).for_each_init(
        Scratch::default,
        |scratch, (chunk, planes)| {
            write_errors(&chunk, scratch, planes);
        },
    );
    let mut counts = [0u64; 256];
    for &class in pixels.masks {
        counts[usize::from(class)] += 1;
    }
    counts[usize::from(Mask::IGNORE)] = 0;
    let is_hinge = channels == 1;
    let is_present = |class: usize| counts.get(class).is_some_and(|count| *count > 0);
    let present = (0..channels).filter(|class| is_present(*class)).count();
    let share = share / if is_hinge { 1. } else { present.max(1) as f64 };

    // The parts of each class, which lie in all chunks.
    let mut classes: Vec<Vec<&mut [T]>> = (0..channels).map(|_| Vec::new()).collect();
    for part in pixels.cut_mut(planes, channels) {
        let len = part.len() / channels;
        for (class, plane) in classes.iter_mut().zip(part.chunks_mut(len)) {
            class.push(plane);
        }
    }
    let losses: Vec<f64> = classes
        .into_par_iter()
        .enumerate()
        .map(|(channel, mut parts)| {
            let class = if is_hinge { 1 } else { channel };
            if !is_hinge && !is_present(class) {
                parts.iter_mut().for_each(|part| part.fill(T::zero()));
                return 0.;
            }
            let count = counts.get(class).copied().unwrap_or(0);
            weigh(pixels, class, count, &mut parts, share)
        })
        .collect();
    losses.iter().sum()
}

/// Writes the errors of a chunk, class by class; 0 where a pixel is ignored.
fn write_errors<T: Real>(chunk: &Chunk<'_, T>, scratch: &mut Scratch<T>, planes: &mut [T]) {
    let one = T::one();
    if chunk.channels == 1 {
        for (pixel, class) in chunk.counted() {
            let x = chunk.logits[pixel];
            let error = if class == 1 { one - x } else { one + x };
            planes[pixel] = not_negative(error);
        }
        return;
    }
    let pixels = chunk.masks.len();
    let (values, _, largest) = scratch.room(chunk.logits.len());
    probabilities(chunk.logits, chunk.channels, values, largest);
    for (pixel, class) in chunk.counted() {
        let target = usize::from(class);
        for (channel, &probability) in values[chunk.row(pixel)].iter().enumerate() {
            let error = if channel == target {
                one - probability
            } else {
                probability
            };
            planes[channel * pixels + pixel] = not_negative(error);
        }
    }
}

/// 0 in place of what is less; NaN stays NaN.
#[inline(always)]
fn not_negative<T: Real>(error: T) -> T {
    if error < T::zero() { T::zero() } else { error }
}

/// The loss of one class times a share, of which the errors lie in `parts`; in their place come the
/// derivatives of that by the errors.
fn weigh<T: Real>(
    pixels: &Pixels<'_, T>,
    class: usize,
    count: u64,
    parts: &mut [&mut [T]],
    share: f64,
) -> f64 {
    // What is 0 adds nothing to the loss, and has no derivative where it cannot fall.
    let mut ranks: Vec<T::Rank> = parts
        .iter()
        .flat_map(|part| part.iter())
        .zip(0u32..)
        .filter(|(error, _)| **error != T::zero())
        .map(|(error, index)| error.rank(index))
        .collect();
    if pixels.channels == 1 {
        ranks.par_sort_unstable();
    } else {
        ranks.sort_unstable();
    }
    parts.iter_mut().for_each(|part| part.fill(T::zero()));
    // All parts but the last of an image have as many pixels.
    let part_pixels = parts.first().map_or(1, |part| part.len());
    let image_parts = pixels.image_pixels.div_ceil(part_pixels);
    let mut loss = 0.;
    let mut intersection = count as f64;
    let mut union = count as f64;
    for rank in ranks {
        let (error, index) = T::ranked(rank);
        let index = index as usize;
        // What the Jaccard loss gains: 1 − intersection / union after, minus that before.
        let gain = if usize::from(pixels.masks[index]) == class {
            intersection -= 1.;
            1. / union
        } else {
            union += 1.;
            if union == 1. {
                1.
            } else {
                intersection / (union * (union - 1.))
            }
        };
        let weight = share * gain;
        loss += weight * error.to_f64();
        let within = index % pixels.image_pixels;
        let part = index / pixels.image_pixels * image_parts + within / part_pixels;
        parts[part][within % part_pixels] = T::from_f64(weight);
    }
    loss
}

/// Adds to the gradient by the logits what the derivatives by the errors make.
fn add_gradient<T: Real>(planes: &[T], chunk: &Chunk<'_, T>, scale: f64, gradient: &mut [T]) {
    let channels = chunk.channels;
    let pixels = chunk.masks.len();
    let first = chunk.first * channels;
    let planes = &planes[first..first + pixels * channels];
    let scale = T::from_f64(scale);
    if channels == 1 {
        for (pixel, class) in chunk.counted() {
            let slope = scale * planes[pixel];
            if class == 1 {
                gradient[pixel] -= slope;
            } else {
                gradient[pixel] += slope;
            }
        }
        return;
    }
    for (pixel, &class) in chunk.masks.iter().enumerate() {
        if class == Mask::IGNORE {
            continue;
        }
        let row = chunk.row(pixel);
        let target = usize::from(class);
        let probabilities = &chunk.probabilities[row.clone()];
        // The error falls where the true class's probability rises.
        let slope = |channel: usize| {
            let slope = scale * planes[channel * pixels + pixel];
            if channel == target {
                T::zero() - slope
            } else {
                slope
            }
        };
        let mut mean = T::zero();
        for (channel, &probability) in probabilities.iter().enumerate() {
            mean += probability * slope(channel);
        }
        let gradient = gradient[row].iter_mut().zip(probabilities);
        for (channel, (gradient, &probability)) in gradient.enumerate() {
            *gradient += probability * (slope(channel) - mean);
        }
    }
}
