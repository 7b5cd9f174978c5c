//! From images in 0..1 to a network's input, and back.

use candle_core::{DType, Tensor};
use cnn_core::{ColorOrder, CropMode, Preprocessing};

use crate::{Error, Images};

/// How a network normalises images in 0..1, red, green, blue: each channel is scaled and shifted,
/// and the channels may be reversed.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    scale: Vec<f64>,
    shift: Vec<f64>,
    color_order: ColorOrder,
}

impl Normalization {
    /// As `record` says.
    ///
    /// # Errors
    /// If the record is invalid.
    pub fn new(record: &Preprocessing) -> Result<Self, Error> {
        let wrong = |error: cnn_core::Error| Error::Other(Box::new(error));
        record.validate().map_err(wrong)?;
        let [black, white] = record.value_range;
        let channels = record.mean.iter().zip(&record.std);
        Ok(Self {
            scale: record.std.iter().map(|std| (white - black) / std).collect(),
            shift: channels.map(|(mean, std)| (black - mean) / std).collect(),
            color_order: record.color_order,
        })
    }

    /// The network's input `(N, H, W, C)` from images.
    ///
    /// # Errors
    /// [`Error::Argument`] if the images have another number of channels.
    pub fn inputs(&self, images: &Images, dtype: DType) -> Result<Tensor, Error> {
        self.check(images)?;
        let mut inputs = images.clone();
        for pixel in inputs.values_mut().chunks_exact_mut(self.scale.len()) {
            self.reorder(pixel);
            let constants = self.scale.iter().zip(&self.shift);
            for (value, (scale, shift)) in pixel.iter_mut().zip(constants) {
                *value = *value * scale + shift;
            }
        }
        inputs.to_nhwc(dtype)
    }

    /// The images that a network's input `(N, H, W, C)` was made from, up to rounding.
    ///
    /// # Errors
    /// As [`inputs`](Self::inputs).
    pub fn images(&self, inputs: &Tensor) -> Result<Images, Error> {
        let mut images = Images::from_nhwc(inputs)?;
        self.check(&images)?;
        for pixel in images.values_mut().chunks_exact_mut(self.scale.len()) {
            let constants = self.scale.iter().zip(&self.shift);
            for (value, (scale, shift)) in pixel.iter_mut().zip(constants) {
                *value = ((*value - shift) / scale).clamp(0., 1.);
            }
            self.reorder(pixel);
        }
        Ok(images)
    }

    /// The gradient by the images from that by the network's input.
    ///
    /// # Errors
    /// As [`inputs`](Self::inputs).
    pub(crate) fn gradient(&self, by_inputs: &Tensor) -> Result<Images, Error> {
        let mut gradient = Images::from_nhwc(by_inputs)?;
        self.check(&gradient)?;
        for pixel in gradient.values_mut().chunks_exact_mut(self.scale.len()) {
            for (value, scale) in pixel.iter_mut().zip(&self.scale) {
                *value *= scale;
            }
            self.reorder(pixel);
        }
        Ok(gradient)
    }

    fn check(&self, images: &Images) -> Result<(), Error> {
        let channels = images.size()[2];
        if channels == self.scale.len() {
            return Ok(());
        }
        let expected = format!("{}, as the network takes", self.scale.len());
        Err(Error::argument("channels", channels, expected))
    }

    /// From red, green, blue to the network's order, or back.
    fn reorder(&self, pixel: &mut [f64]) {
        if self.color_order == ColorOrder::Bgr {
            pixel.reverse();
        }
    }
}

/// How a photo becomes an image in 0..1 of a network's size: as `record` says, but not normalised.
///
/// A network that wants a border of the mean colour is none for this: the colour is known only
/// beside its normalisation. `None` then.
pub(crate) fn unnormalized(record: &Preprocessing) -> Option<Preprocessing> {
    if record.crop_mode == CropMode::Border || record.letterbox_fill.is_some() {
        return None;
    }
    Some(Preprocessing {
        mean: vec![0.; record.channels()],
        std: vec![1.; record.channels()],
        color_order: ColorOrder::Rgb,
        value_range: [0., 1.],
        ..record.clone()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn inputs_are_those_of_the_record_and_come_back() {
        let record = Preprocessing {
            mean: vec![100., 110., 120.],
            std: vec![2., 4., 5.],
            color_order: ColorOrder::Bgr,
            value_range: [0., 255.],
            ..Preprocessing::default()
        };
        let normalization = Normalization::new(&record).unwrap();
        let images = Images::new(1, [1, 2, 3], vec![0., 0.2, 1., 0.4, 0.6, 0.8]).unwrap();
        let inputs = normalization.inputs(&images, DType::F64).unwrap();
        let found = inputs.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        // Blue 255, green 51, red 0; then 204, 153, 102.
        let expected = [77.5, -14.75, -24., 52., 10.75, -3.6];
        let pairs = found.iter().zip(expected);
        assert!(
            pairs.clone().all(|(a, b)| (a - b).abs() < 1e-9),
            "{found:?}"
        );
        let back = normalization.images(&inputs).unwrap();
        let pairs = back.values().iter().zip(images.values());
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-12));
        // A step in pixels changes the input by as much as the gradient says.
        let ones = inputs.ones_like().unwrap();
        let gradient = normalization.gradient(&ones).unwrap();
        assert_eq!(gradient.image(0)[..3], [51., 63.75, 127.5]);
    }
}
