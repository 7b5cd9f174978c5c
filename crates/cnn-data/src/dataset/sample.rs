//! One example of a dataset.

use crate::{BoundingBox, Error, Image, Mask};

/// An image with what is known about it.
///
/// ```
/// use cnn_data::{BoundingBox, Image, Mask, Sample};
///
/// let image = Image::from_pixels(1, 2, 1, vec![0, 200])?;
/// let object = BoundingBox { x_min: 1.0, y_min: 0.0, x_max: 2.0, y_max: 1.0, class: 4 };
/// let sample = Sample::new(image, Some(4)).with_boxes(vec![object]).with_mask(Mask::new(1, 2, vec![0, 4])?)?;
/// assert_eq!(sample.boxes[0].area(), 1.0);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The image, upright, grey or RGB as stored.
    pub image: Image,
    /// The class as a number into [`Dataset::classes`](crate::Dataset::classes).
    pub label: Option<usize>,
    /// The objects in the image; empty where there are none or none are known.
    pub boxes: Vec<BoundingBox>,
    /// The class of every pixel, of the image's size.
    pub mask: Option<Mask>,
}

impl Sample {
    /// An image with its class, if it has one; without boxes and mask.
    pub fn new(image: Image, label: Option<usize>) -> Self {
        Self {
            image,
            label,
            boxes: Vec::new(),
            mask: None,
        }
    }

    /// The sample with these boxes in place of its own.
    pub fn with_boxes(self, boxes: Vec<BoundingBox>) -> Self {
        Self { boxes, ..self }
    }

    /// The sample with this mask in place of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the mask is not of the image's size.
    pub fn with_mask(self, mask: Mask) -> Result<Self, Error> {
        let found = [mask.height(), mask.width()];
        let expected = [self.image.height(), self.image.width()];
        if found != expected {
            let [found, expected] =
                [found, expected].map(|[height, width]| format!("{height}x{width}"));
            return Err(Error::argument(
                "mask",
                found,
                format!("the image's size, {expected}"),
            ));
        }
        Ok(Self {
            mask: Some(mask),
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_mask_has_the_images_size() {
        let sample = Sample::new(Image::from_pixels(2, 3, 1, vec![0; 6]).unwrap(), None);
        assert!(
            sample
                .clone()
                .with_mask(Mask::new(2, 3, vec![1; 6]).unwrap())
                .is_ok()
        );
        let message = sample
            .with_mask(Mask::new(3, 2, vec![1; 6]).unwrap())
            .unwrap_err()
            .to_string();
        assert_eq!(message, "`mask`: found 3x2, expected the image's size, 2x3");
    }
}
