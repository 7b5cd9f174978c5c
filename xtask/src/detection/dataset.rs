//! Boxes of a dataset: what they are like, and how they are written in another format.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use cnn_data::{BoxFormat, BoxSurvey, Dataset, Exported, Image, Quantiles, Sample, export_boxes};
use cnn_viz::{PictureBox, draw_boxes};

use crate::datasets::Source;
use crate::{inference, output};

/// One row per class of the boxes: how many there are, and how many images have one.
pub(crate) fn print_boxes(boxes: &BoxSurvey) -> Result<()> {
    let columns = [("class of boxes", false), ("boxes", true), ("images", true)];
    let rows: Vec<Vec<String>> = boxes
        .classes
        .iter()
        .map(|class| {
            vec![
                class.label.clone(),
                class.boxes.to_string(),
                class.images.to_string(),
            ]
        })
        .collect();
    output::table(&columns, &rows)?;
    let sizes = &boxes.sizes;
    println!(
        "boxes       {}: {} small, {} medium, {} large (areas below 32² and 96² pixels, and above)",
        boxes.boxes, sizes.small, sizes.medium, sizes.large
    );
    let range = |name: &str, values: &Option<Quantiles>| {
        if let Some(values) = values {
            println!(
                "{name:11} {} to {}, median {}",
                values.min, values.max, values.median
            );
        }
    };
    range("  wide", &boxes.width);
    range("  high", &boxes.height);
    range("  an image", &boxes.boxes_per_image);
    let others = [
        (boxes.empty_images, "images without any"),
        (boxes.crowds, "crowds"),
        (boxes.difficult, "difficult"),
    ];
    let some = others.iter().filter(|(count, _)| *count > 0);
    let said: Vec<String> = some
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if !said.is_empty() {
        println!("  beside    {}", said.join(", "));
    }
    Ok(())
}

/// Writes the boxes of a dataset and its photos in a format into a new folder, and says what the
/// format has no place for.
pub(crate) fn export(source: &Source, format: BoxFormat, out: &Path) -> Result<()> {
    let splits = source.splits()?;
    let parts: Vec<_> = if splits.is_empty() {
        vec![(None, source.open(None)?)]
    } else {
        let open = |&split| Ok((Some(split), source.open(Some(split))?));
        splits.iter().map(open).collect::<Result<_>>()?
    };
    let parts: &[(_, Arc<dyn Dataset>)] = &parts;
    let Exported {
        images,
        objects,
        notes,
        skipped,
        ..
    } = export_boxes(parts, format, out)?;
    inference::print_notes(&notes);
    inference::print_skipped(&skipped);
    eprintln!(
        "wrote {images} photos with {objects} objects as {format} to {}",
        out.display()
    );
    Ok(())
}

/// The folder, below the current one, where boxes are written if nothing is said of it.
pub(crate) fn folder_of(data: &str, format: BoxFormat) -> PathBuf {
    let name = data.split(':').next().unwrap_or_default();
    let stem = Path::new(name).file_stem().unwrap_or_default();
    PathBuf::from(format!("{}-{format}", stem.to_string_lossy()))
}

/// A small image of a sample with its boxes.
pub(crate) fn tile(small: Image, sample: &Sample, classes: &[String]) -> Result<Image> {
    if sample.boxes.is_empty() {
        return Ok(small);
    }
    let across = small.width() as f32 / sample.image.width() as f32;
    let down = small.height() as f32 / sample.image.height() as f32;
    // Of each class the first has its name: more would hide the photo.
    let mut named = HashSet::new();
    let boxes: Vec<PictureBox> = sample
        .boxes
        .iter()
        .map(|found| {
            let [x_min, y_min, x_max, y_max] = found.edges();
            let name = classes
                .get(found.class)
                .filter(|_| named.insert(found.class));
            PictureBox {
                edges: [x_min * across, y_min * down, x_max * across, y_max * down],
                word: name.cloned().unwrap_or_default(),
                color: found.class,
                ..PictureBox::default()
            }
        })
        .collect();
    Ok(draw_boxes(&small, &boxes)?)
}
