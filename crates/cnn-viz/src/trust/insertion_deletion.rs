//! Insertion and deletion (Petsiuk et al. 2018, "RISE", arXiv:1806.07421, section 4.1): how the
//! class's probability grows as the most important pixels come into a blurred image, and how it
//! falls as they go.

use candle_core::Tensor;
use cnn_kernels::{Conv2dSpec, Padding, conv2d};
use cnn_layers::FeatureMap;

use super::{by_importance, probabilities, values_of_one};
use crate::{Error, Explained, Heatmap, Score};

/// Side and standard deviation of the blur, as in the paper's program.
const BLUR_SIDE: usize = 11;
const BLUR_DEVIATION: f64 = 5.;

/// Probabilities of the class, from none of the pixels changed to all of them, in equal steps.
#[derive(Debug, Clone, PartialEq)]
pub struct InsertionDeletion {
    /// Of the blurred image with more and more of its most important pixels sharp.
    pub insertion: Vec<f64>,
    /// Of the image with more and more of its most important pixels the mean colour.
    pub deletion: Vec<f64>,
}

impl InsertionDeletion {
    /// Area under the insertion curve, in 0..1; larger is better.
    pub fn insertion_auc(&self) -> f64 {
        area(&self.insertion)
    }

    /// Area under the deletion curve, in 0..1; smaller is better.
    pub fn deletion_auc(&self) -> f64 {
        area(&self.deletion)
    }
}

/// Both curves for one image `(1, H, W, C)`, with `steps` steps, `batch_size` images in a pass.
///
/// # Errors
/// [`Error::Argument`] if the map is not of the image's size, the class does not exist, or
/// `steps` is 0.
pub fn insertion_deletion<'a>(
    model: impl Into<Explained<'a>>,
    image: &FeatureMap,
    map: &Heatmap,
    score: &Score,
    steps: usize,
    batch_size: usize,
) -> Result<InsertionDeletion, Error> {
    let model = model.into();
    let sharp = values_of_one(model, image, map, score)?;
    if steps == 0 {
        return Err(Error::argument("steps", steps, "at least 1"));
    }
    let pixels = by_importance(map);
    let channels = image.channels();
    let curve = |from: &[f32], to: &dyn Fn(usize) -> f32| {
        let step = |step: usize| {
            let mut values = from.to_vec();
            for &pixel in &pixels[..pixels.len() * step / steps] {
                (pixel * channels..(pixel + 1) * channels).for_each(|at| values[at] = to(at));
            }
            Ok(values)
        };
        probabilities(
            model,
            &image.detach().to_nhwc(),
            score,
            steps + 1,
            batch_size,
            step,
        )
    };
    let insertion = curve(&blurred(image)?, &|at| sharp[at])?;
    Ok(InsertionDeletion {
        insertion,
        deletion: curve(&sharp, &|_| 0.)?,
    })
}

/// The trapezoids under values at equal distances over 0..1.
fn area(values: &[f64]) -> f64 {
    let trapezoids: f64 = values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.).sum();
    trapezoids / (values.len() - 1) as f64
}

/// Each channel under a Gaussian, beyond the border the mean colour.
fn blurred(image: &FeatureMap) -> Result<Vec<f32>, Error> {
    let tap = |at: usize| {
        (-(at as f64 - (BLUR_SIDE / 2) as f64).powi(2) / (2. * BLUR_DEVIATION.powi(2))).exp()
    };
    let taps: Vec<f64> = (0..BLUR_SIDE).map(tap).collect();
    let sum: f64 = taps.iter().sum::<f64>().powi(2);
    let kernel: Vec<f64> = taps
        .iter()
        .flat_map(|row| taps.iter().map(move |column| row * column / sum))
        .collect();
    let channels = image.channels();
    let weight = Tensor::from_vec(
        kernel.repeat(channels),
        (channels, 1, BLUR_SIDE, BLUR_SIDE),
        image.device(),
    )?;
    let spec = Conv2dSpec {
        stride: [1, 1],
        padding: Padding::all(BLUR_SIDE / 2),
        dilation: [1, 1],
        groups: channels,
    };
    let blurred = conv2d(
        &image.detach(),
        &weight.to_dtype(image.dtype())?,
        None,
        &spec,
    )?;
    Ok(blurred
        .to_nhwc()
        .to_dtype(candle_core::DType::F32)?
        .flatten_all()?
        .to_vec1()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_area_is_that_of_the_trapezoids() {
        assert_eq!(area(&[0., 1.]), 0.5);
        assert_eq!(area(&[1., 1., 0.]), 0.75);
    }

    #[test]
    fn blurring_keeps_what_is_even_inside() {
        let image = Tensor::full(2f32, (1, 15, 13, 3), &candle_core::Device::Cpu).unwrap();
        let blurred = blurred(&FeatureMap::from_nhwc(&image).unwrap()).unwrap();
        let at = |row: usize, column: usize| blurred[(row * 13 + column) * 3 + 1];
        assert!((at(7, 6) - 2.).abs() < 1e-5 && at(0, 0) < 1.);
    }
}
