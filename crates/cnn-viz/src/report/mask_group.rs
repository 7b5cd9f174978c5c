//! Photos with their masks.

use cnn_data::Image;

/// Photos with their masks under one heading, as "Worst images".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MaskGroup {
    /// The heading.
    pub title: String,
    /// A sentence below it.
    pub note: Option<String>,
    /// The colours of the classes that are seen, by name.
    pub legend: Vec<(String, [u8; 3])>,
    /// The photos in order.
    pub photos: Vec<SegmentedPhoto>,
}

/// A photo and pictures of its size: its true mask, the predicted one, and where they differ.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentedPhoto {
    /// The photo's file or its name in the data set.
    pub path: String,
    /// How good the prediction is, as "mIoU 0.41, 78 % of the pixels right".
    pub caption: String,
    /// The photo at any size; the page holds a copy of at most 320 pixels on the longer side.
    pub photo: Image,
    /// Its true mask, drawn.
    pub truth: Image,
    /// The predicted one, drawn.
    pub prediction: Image,
    /// Where they differ, drawn.
    pub errors: Image,
}
