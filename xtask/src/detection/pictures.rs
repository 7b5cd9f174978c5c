//! Pictures of what was found.

use anyhow::Result;
use cnn_data::Image;
use cnn_layers::DetectedObject;
use cnn_viz::{PictureBox, draw_boxes};

/// A photo with the boxes of what was found, the best on top.
pub(super) fn draw(photo: &Image, found: &[DetectedObject], names: &[String]) -> Result<Image> {
    let boxes = found.iter().rev().map(|object| PictureBox {
        edges: object.edges,
        word: format!("{} {:.0}%", names[object.class], 100. * object.score),
        color: object.class,
        ..PictureBox::default()
    });
    Ok(draw_boxes(photo, &boxes.collect::<Vec<_>>())?)
}

/// What is within a box: all pixels that it touches.
pub(super) fn crop(photo: &Image, object: &DetectedObject) -> Result<Image> {
    let [x_min, y_min, x_max, y_max] = object.edges;
    let channels = photo.channels();
    let span = |from: f32, to: f32, most: usize| {
        let first = (from.floor().max(0.) as usize).min(most - 1);
        let end = (to.ceil() as usize).clamp(first + 1, most);
        first..end
    };
    let rows = span(y_min, y_max, photo.height());
    let columns = span(x_min, x_max, photo.width());
    let row = |row: usize| {
        let start = (row * photo.width() + columns.start) * channels;
        &photo.bytes()[start..start + columns.len() * channels]
    };
    let bytes: Vec<u8> = rows.clone().flat_map(row).copied().collect();
    Ok(Image::from_pixels(
        rows.len(),
        columns.len(),
        channels,
        bytes,
    )?)
}
