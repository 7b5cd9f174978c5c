//! One example of a dataset.

use crate::{Affine, BoundingBox, Error, Image, Mask, Origin};

/// An image with what is known about it.
///
/// ```
/// use cnn_data::{BoundingBox, Image, Mask, Sample};
///
/// let image = Image::from_pixels(1, 2, 1, vec![0, 200])?;
/// let object = BoundingBox::new([1.0, 0.0, 2.0, 1.0], 4);
/// let sample = Sample::new(image, Some(4))
///     .with_boxes(vec![object])
///     .with_mask(Mask::new(1, 2, vec![0, 4])?)?;
/// assert_eq!(sample.boxes[0].area(), 1.0);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The image, upright, grey or RGB as stored.
    pub image: Image,
    /// The class as an index into [`Dataset::classes`](crate::Dataset::classes), from 0.
    pub label: Option<usize>,
    /// The objects in the image, in its pixels; empty where there are none or none are known.
    pub boxes: Vec<BoundingBox>,
    /// Regions where it is unknown what is right, in pixels: crowds, and objects that are called
    /// difficult. They are no objects to learn from, and no background either.
    pub ignored: Vec<BoundingBox>,
    /// The class of every pixel, of the image's size.
    pub mask: Option<Mask>,
    /// The photo that the image was made from.
    pub origin: Origin,
}

impl Sample {
    /// An image as it was photographed, with its class, if it has one; without boxes and mask.
    pub fn new(image: Image, label: Option<usize>) -> Self {
        let origin = Origin::new(image.height(), image.width());
        Self {
            image,
            label,
            boxes: Vec::new(),
            ignored: Vec::new(),
            mask: None,
            origin,
        }
    }

    /// The sample with these boxes in place of its own.
    pub fn with_boxes(self, boxes: Vec<BoundingBox>) -> Self {
        Self { boxes, ..self }
    }

    /// The sample with these regions ignored in place of its own.
    pub fn with_ignored(self, ignored: Vec<BoundingBox>) -> Self {
        Self { ignored, ..self }
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

    /// The sample after a change of its geometry: `map` says where each point of the image goes,
    /// `change_image` and `change_mask` move the pixels accordingly.
    ///
    /// `change_mask` gets the mask as a grey image whose bytes are the class numbers, which must
    /// not be mixed with each other: it moves whole pixels or takes the nearest one. Boxes follow
    /// `map` by the rule of [`BoundingBox::placed`]. This is how every geometric
    /// [`Transform`](crate::Transform) of this crate changes a sample.
    ///
    /// # Errors
    ///
    /// What `change_image` and `change_mask` say; [`Error::Argument`] if they do not make the same
    /// size.
    ///
    /// ```
    /// use cnn_data::{Affine, Error, Image, Sample};
    ///
    /// /// Exchanges rows and columns.
    /// fn transpose(image: Image) -> Result<Image, Error> {
    ///     let [height, width, channels] = [image.height(), image.width(), image.channels()];
    ///     let pixel = |at: usize| &image.bytes()[at * channels..][..channels];
    ///     let bytes = (0..height * width).flat_map(|at| pixel(at % height * width + at / height));
    ///     Image::from_pixels(width, height, channels, bytes.copied().collect())
    /// }
    ///
    /// let sample = Sample::new(Image::from_pixels(1, 2, 1, vec![7, 9])?, None);
    /// let map = Affine::new([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])?;
    /// let transposed = sample.transformed(&map, transpose, transpose)?;
    /// assert_eq!(
    ///     (transposed.image.height(), transposed.image.width()),
    ///     (2, 1)
    /// );
    /// # Ok::<(), Error>(())
    /// ```
    pub fn transformed(
        self,
        map: &Affine,
        change_image: impl FnOnce(Image) -> Result<Image, Error>,
        change_mask: impl FnOnce(Image) -> Result<Image, Error>,
    ) -> Result<Self, Error> {
        let image = change_image(self.image)?;
        let place = |whole: &BoundingBox| whole.placed(map, image.height(), image.width());
        let changed = Self {
            boxes: self.boxes.iter().filter_map(place).collect(),
            ignored: self.ignored.iter().filter_map(place).collect(),
            image,
            label: self.label,
            mask: None,
            origin: self.origin.then(map),
        };
        match self.mask {
            None => Ok(changed),
            Some(mask) => changed.with_mask(mask.map_pixels(change_mask)?),
        }
    }

    /// The sample after its pixels were moved by what no affine map tells; the size stays. Each box
    /// becomes what `move_box` says.
    pub(crate) fn deformed(
        self,
        change_image: impl FnOnce(Image) -> Result<Image, Error>,
        change_mask: impl FnOnce(Image) -> Result<Image, Error>,
        move_box: impl Fn(&BoundingBox) -> Option<BoundingBox>,
    ) -> Result<Self, Error> {
        let boxes = self.boxes.iter().filter_map(&move_box).collect();
        let ignored = self.ignored.iter().filter_map(&move_box).collect();
        let still = Self {
            boxes: Vec::new(),
            ignored: Vec::new(),
            origin: self.origin.deformed(),
            ..self
        };
        let changed = still.transformed(&Affine::IDENTITY, change_image, change_mask)?;
        Ok(changed.with_boxes(boxes).with_ignored(ignored))
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
