//! COCO's JSON of predicted boxes, as its evaluation reads and detectors write it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use cnn_core::write_atomic;
use serde::{Deserialize, Serialize};

use crate::{Dataset, Error};

/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// A box that a detector found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictedBox {
    /// The number of the sample in its dataset, from 0.
    pub image: usize,
    /// The class as an index into [`Dataset::classes`], from 0.
    pub class: usize,
    /// Left and upper edge, width and height, in pixels of the upright photo.
    pub xywh: [f64; 4],
    /// How sure the detector is; larger is surer.
    pub score: f64,
}

#[derive(Deserialize, Serialize)]
struct Entry {
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    score: f64,
}

/// Writes predicted boxes as COCO's JSON: a list of `image_id`, `category_id`, `bbox` as `x`, `y`,
/// width and height, and `score`, with all digits. The numbers are those of
/// [`Dataset::image_id`] and [`Dataset::category_id`].
///
/// # Errors
///
/// [`Error::Argument`] naming a box whose image or class the dataset does not have, or with a number
/// that is not finite or a width or height below 0; [`Error::Io`] if the file cannot be written,
/// which then is as it was.
///
/// ```
/// use cnn_data::{PredictedBox, Shapes, ShapesConfig, read_predictions, write_predictions};
///
/// # let folder = tempfile::tempdir()?;
/// let file = folder.path().join("predictions.json");
/// let shapes = Shapes::new(ShapesConfig::default().with_samples(3))?;
/// let found = [PredictedBox { image: 2, class: 0, xywh: [1.5, 2.0, 30.0, 4.25], score: 0.5 }];
/// write_predictions(&file, &shapes, &found)?;
/// assert_eq!(
///     std::fs::read_to_string(&file)?,
///     r#"[{"image_id":3,"category_id":1,"bbox":[1.5,2.0,30.0,4.25],"score":0.5}]"#
/// );
/// assert_eq!(read_predictions(&file, &shapes)?, found);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_predictions(
    path: &Path,
    dataset: &dyn Dataset,
    predictions: &[PredictedBox],
) -> Result<(), Error> {
    let entry = |(number, found): (usize, &PredictedBox)| {
        let wrong = |reason: String| {
            let found = format!("prediction {number}: {reason}");
            Error::argument(
                "predictions",
                found,
                "boxes of the dataset's images and classes",
            )
        };
        let PredictedBox {
            image,
            class,
            xywh,
            score,
        } = *found;
        if image >= dataset.len() {
            return Err(wrong(format!("image {image} of {}", dataset.len())));
        }
        if class >= dataset.classes().len() {
            return Err(wrong(format!(
                "class {class} of {}",
                dataset.classes().len()
            )));
        }
        check_numbers(xywh, score).map_err(wrong)?;
        Ok(Entry {
            image_id: dataset.image_id(image),
            category_id: dataset.category_id(class),
            bbox: xywh,
            score,
        })
    };
    let entries = predictions.iter().enumerate().map(entry);
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    write_atomic(path, |file| {
        serde_json::to_writer(file, &entries).map_err(io::Error::from)
    })
    .map_err(Error::of_write)
}

/// Reads predicted boxes from COCO's JSON, in the order of the file.
///
/// # Errors
///
/// [`Error::Io`] if the file cannot be read, [`Error::BrokenDataset`] if it is larger than 1 GiB, or
/// as [`parse_predictions`] says.
pub fn read_predictions(path: &Path, dataset: &dyn Dataset) -> Result<Vec<PredictedBox>, Error> {
    let io = |error| Error::io("read", path, error);
    let broken = |reason: String| Error::broken_dataset(path, reason);
    let len = fs::metadata(path).map_err(io)?.len();
    if len > MOST_BYTES {
        let reason = format!("{len} bytes, read are files of at most {MOST_BYTES}");
        return Err(broken(reason));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(io)?;
    parse_predictions(&bytes, dataset).map_err(broken)
}

/// Understands COCO's JSON of predicted boxes for a dataset. Other keys are passed over.
///
/// # Errors
///
/// A sentence that says where it is no such JSON, which is also where it has NaN, or which
/// prediction, counted from 0, has an image or a category that the dataset does not have, or a width
/// or height below 0.
pub fn parse_predictions(bytes: &[u8], dataset: &dyn Dataset) -> Result<Vec<PredictedBox>, String> {
    let entries: Vec<Entry> = serde_json::from_slice(bytes)
        .map_err(|error| format!("no file of predicted boxes: {error}"))?;
    let images: HashMap<i64, usize> = (0..dataset.len())
        .map(|index| (dataset.image_id(index), index))
        .collect();
    let classes: HashMap<i64, usize> = (0..dataset.classes().len())
        .map(|class| (dataset.category_id(class), class))
        .collect();
    let found = entries.into_iter().enumerate().map(|(number, entry)| {
        let unknown = |what: &str, id: i64| {
            format!("prediction {number} is of the {what} {id}, which the dataset does not have")
        };
        let image = images.get(&entry.image_id);
        let image = image.ok_or_else(|| unknown("image", entry.image_id))?;
        let class = classes.get(&entry.category_id);
        let class = class.ok_or_else(|| unknown("category", entry.category_id))?;
        check_numbers(entry.bbox, entry.score)
            .map_err(|reason| format!("prediction {number}: {reason}"))?;
        Ok(PredictedBox {
            image: *image,
            class: *class,
            xywh: entry.bbox,
            score: entry.score,
        })
    });
    found.collect()
}

fn check_numbers(xywh: [f64; 4], score: f64) -> Result<(), String> {
    let [_, _, width, height] = xywh;
    if xywh.iter().any(|value| !value.is_finite()) || width < 0.0 || height < 0.0 {
        return Err(format!(
            "its box is {xywh:?}, expected x, y, width and height"
        ));
    }
    if !score.is_finite() {
        return Err(format!("its score is {score}, expected a finite number"));
    }
    Ok(())
}
