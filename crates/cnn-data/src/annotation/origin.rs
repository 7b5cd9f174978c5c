//! Which photo an image was made from.

use super::{Affine, BoundingBox};

/// The size of the photo that an image was made from, and where the photo's parts lie in the image.
///
/// An image that a network sees was resized and cut, and in training it was also moved at random.
/// What is found in it, such as a predicted box, is wanted in pixels of the photo.
/// [`Origin::to_photo`] brings it back.
///
/// ```
/// use cnn_data::{Affine, BoundingBox, Origin};
///
/// // The right half of a photo of 100 rows and 200 columns, at half its size.
/// let map = Affine::new([[0.5, 0.0, -50.0], [0.0, 0.5, 0.0]])?;
/// let origin = Origin::new(100, 200).then(&map);
/// let found = BoundingBox::new([0.0, 10.0, 20.0, 25.0], 3);
/// assert_eq!(origin.to_photo(&found).edges(), [100.0, 20.0, 140.0, 50.0]);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Origin {
    height: usize,
    width: usize,
    map: Affine,
    is_exact: bool,
}

impl Origin {
    /// A photo of this size, in pixels, as it is.
    pub fn new(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            map: Affine::IDENTITY,
            is_exact: true,
        }
    }

    /// Height of the photo in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width of the photo in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The map from pixels of the photo to pixels of the image.
    pub fn map(&self) -> &Affine {
        &self.map
    }

    /// Whether [`Origin::map`] says where each point of the photo lies. After an
    /// [`ElasticDeformation`](crate::ElasticDeformation) it says so only about as far as the
    /// deformation moves points.
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// The same, where points were also moved by what no affine map tells.
    #[must_use]
    pub(crate) fn deformed(&self) -> Self {
        Self {
            is_exact: false,
            ..*self
        }
    }

    /// The origin of what `map` makes of the image.
    #[must_use]
    pub fn then(&self, map: &Affine) -> Self {
        Self {
            map: self.map.then(map),
            ..*self
        }
    }

    /// A box of the image in pixels of the photo, cut at the photo's edges. If the image was
    /// turned, it is the smallest upright box around the box that is turned back.
    ///
    /// The box has no area if it lies outside the photo, as in the border that fills up an input.
    pub fn to_photo(&self, bounding_box: &BoundingBox) -> BoundingBox {
        self.to_photo_whole(bounding_box)
            .clip(self.height, self.width)
    }

    /// The same with what lies beyond the photo's edges, as a detector says it.
    pub fn to_photo_whole(&self, bounding_box: &BoundingBox) -> BoundingBox {
        bounding_box.mapped(&self.map.inverse())
    }
}
