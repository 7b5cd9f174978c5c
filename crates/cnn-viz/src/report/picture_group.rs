//! Pictures of a report that belong together.

use cnn_data::Image;

use super::ImagePrediction;

/// Pictures under one heading, as "Worst mistakes".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PictureGroup {
    /// The heading.
    pub title: String,
    /// A sentence below it.
    pub note: Option<String>,
    /// The pictures in order.
    pub pictures: Vec<ImagePrediction>,
}

/// The same images as several networks saw them, or one network after each epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageStrip {
    /// The heading.
    pub title: String,
    /// A sentence below it.
    pub note: Option<String>,
    /// The networks or epochs, from left to right.
    pub columns: Vec<String>,
    /// The images, from top to bottom.
    pub rows: Vec<StripRow>,
}

/// One image over the columns.
#[derive(Clone, Debug, PartialEq)]
pub struct StripRow {
    /// The image.
    pub image: Image,
    /// What it shows.
    pub label: String,
    /// For each column an [`overlay`](crate::overlay) of the image's size and a caption, as the
    /// class that was seen.
    pub cells: Vec<(Image, String)>,
}
