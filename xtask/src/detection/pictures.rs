//! Pictures of what was found.

use anyhow::Result;
use cnn_core::Interpolation;
use cnn_data::{Image, resize};
use cnn_layers::DetectedObject;
use cnn_viz::{BoxGroup, BoxedPhoto, PictureBox, draw_boxes, draw_small_boxes};

use super::photo::PhotoResult;
use crate::conclusion::Run;
use crate::pictures::short;

/// Photos of a report.
const PHOTOS: usize = 8;
/// The longer side of a picture whose words can be read has more than half of so many pixels.
const READABLE: usize = 256;

/// A photo with the boxes of what was found, the best on top.
pub(super) fn draw(photo: &Image, found: &[DetectedObject], names: &[String]) -> Result<Image> {
    let boxes = found.iter().rev().map(|object| of_found(object, names));
    Ok(draw_boxes(photo, &boxes.collect::<Vec<_>>())?)
}

fn of_found(object: &DetectedObject, names: &[String]) -> PictureBox {
    PictureBox {
        edges: object.edges,
        word: format!("{} {:.0}%", names[object.class], 100. * object.score),
        color: object.class,
        is_dashed: false,
    }
}

/// The first of these photos, with what is there beside what was found.
pub(super) fn worst(
    run: &Run<'_>,
    photos: &[PhotoResult<'_>],
    names: &[String],
) -> Result<BoxGroup> {
    let dataset = run.data.measured_on().images;
    let mut group = BoxGroup {
        title: "Worst images".to_string(),
        note: Some(
            "Those with the most objects that were missed and boxes where nothing of their class is, both dashed. What was found is shown from a score of 0.25 on; an overlap (IoU) of half makes it right."
                .to_string(),
        ),
        ..BoxGroup::default()
    };
    for photo in photos.iter().take(PHOTOS) {
        // One that has become unreadable meanwhile is left out.
        let Ok(sample) = dataset.read(photo.index) else {
            continue;
        };
        let objects = photo.objects.iter().map(|(object, is_missed)| PictureBox {
            edges: object.bounding_box().edges(),
            word: names[object.class].clone(),
            color: object.class,
            is_dashed: *is_missed,
        });
        let shown = photo.shown.iter().rev();
        let shown = shown.map(|(object, is_false)| PictureBox {
            is_dashed: *is_false,
            ..of_found(object, names)
        });
        let draw =
            |boxes: Vec<PictureBox>| draw_readable(&sample.image, BoxedPhoto::LONGEST_SIDE, boxes);
        group.photos.push(BoxedPhoto {
            path: short(&dataset.id(photo.index), run.data_name),
            caption: format!(
                "{} of {} objects found, {} boxes where nothing is",
                photo.found(),
                photo.objects.len(),
                photo.false_boxes()
            ),
            truth: draw(objects.collect())?,
            prediction: draw(shown.collect())?,
        });
    }
    Ok(group)
}

/// A copy of a photo with its boxes, its longer side at most `longest`. Small photos are enlarged by a
/// whole number before, so that lines are thin and words can be read.
pub(super) fn draw_readable(
    photo: &Image,
    longest: usize,
    mut boxes: Vec<PictureBox>,
) -> Result<Image> {
    let [height, width] = [photo.height(), photo.width()];
    let factor = (READABLE / height.max(width)).max(1);
    let [height, width] = [factor * height, factor * width];
    let enlarged = resize(photo, height, width, Interpolation::Nearest)?;
    let edges = boxes.iter_mut().flat_map(|shown| &mut shown.edges);
    edges.for_each(|edge| *edge *= factor as f32);
    Ok(draw_small_boxes(&enlarged, longest, &boxes)?)
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
