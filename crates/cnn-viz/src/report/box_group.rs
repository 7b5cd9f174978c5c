//! Photos with boxes.

use cnn_data::Image;

/// Photos with boxes under one heading, as "Worst photos".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoxGroup {
    /// The heading.
    pub title: String,
    /// A sentence below it, such as what dashed boxes are.
    pub note: Option<String>,
    /// The photos in order.
    pub photos: Vec<BoxedPhoto>,
}

/// A photo with the boxes of the objects that are in it, and with those of what was found.
///
/// [`draw_small_boxes`](crate::draw_small_boxes) with [`BoxedPhoto::LONGEST_SIDE`] draws both:
/// lines and letters that are drawn on a larger photo become too thin to read on the page.
#[derive(Clone, Debug, PartialEq)]
pub struct BoxedPhoto {
    /// The photo's file or its name in the data set.
    pub path: String,
    /// How good the prediction is, as "2 of 3 objects found, 1 false".
    pub caption: String,
    /// The photo with the objects that are in it, at any size; the page holds a copy of at most
    /// [`BoxedPhoto::LONGEST_SIDE`].
    pub truth: Image,
    /// The photo with what was found in it, likewise.
    pub prediction: Image,
}

impl BoxedPhoto {
    /// The longer side of a picture on the page at most, in pixels.
    pub const LONGEST_SIDE: usize = 480;
}
