//! How well the pixels of each class are found, and photos with their masks.

use cnn_metrics::{ClassOverlap, Interval};

use super::class_table::{Bar, bar, interval_text};
use super::confusion::{Cells, ConfusedPairs, Matrix};
use super::format::{NOTHING, count, percent};
use super::pictures::Thumbnail;
use crate::{Error, MaskGroup, RegionResults, SegmentedPhoto};

/// The longer side of a photo and of its masks at most.
const LONGEST_SIDE: usize = 320;

/// The section of the classes.
pub(crate) struct Regions<'a> {
    pub(crate) evaluated_on: &'a str,
    pub(crate) mean_iou: String,
    pub(crate) interval: String,
    pub(crate) pixel_accuracy: String,
    pub(crate) pixels: String,
    pub(crate) images: String,
    /// Pixels of no class, where there are such.
    pub(crate) ignored: Option<String>,
    pub(crate) matrix: Option<Matrix<'a>>,
    pub(crate) pairs: ConfusedPairs<'a>,
    pub(crate) rows: Vec<RegionRow<'a>>,
}

/// One class.
pub(crate) struct RegionRow<'a> {
    pub(crate) name: &'a str,
    /// Its share of all pixels.
    pub(crate) share: String,
    pub(crate) iou: String,
    pub(crate) interval: String,
    /// IoU and its interval as a picture; `None` for a class that occurs nowhere.
    pub(crate) bar: Option<Bar>,
    pub(crate) dice: String,
    pub(crate) recall: String,
    pub(crate) precision: String,
}

impl<'a> Regions<'a> {
    /// The section with the `pairs` most frequent mistakes.
    pub(crate) fn new(results: &'a RegionResults, pairs: usize) -> Result<Self, Error> {
        let RegionResults { names, result, .. } = results;
        let classes = result.per_class.len();
        if names.len() != classes || results.intervals.per_class_iou.len() != classes {
            return Err(Error::argument(
                "names",
                format!("{} names", names.len()),
                format!("one, and an interval, for each of {classes} classes"),
            ));
        }
        let of_classes = result.per_class.iter().zip(names);
        let mut rows: Vec<(f64, RegionRow<'a>)> = of_classes
            .zip(&results.intervals.per_class_iou)
            .map(|((class, name), interval)| {
                let order = class.iou.unwrap_or(f64::INFINITY);
                (order, row(class, name, *interval, result.pixels))
            })
            .collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(Self {
            evaluated_on: &results.evaluated_on,
            mean_iou: percent(result.mean_iou),
            interval: interval_text(results.intervals.mean_iou),
            pixel_accuracy: percent(result.pixel_accuracy),
            pixels: count(result.pixels),
            images: count(result.samples),
            ignored: (result.ignored_pixels > 0).then(|| count(result.ignored_pixels)),
            matrix: Matrix::new(names, &result.confusion, Cells::Shares),
            pairs: ConfusedPairs::new(names, &result.confusion, pairs),
            rows: rows.into_iter().map(|(_, row)| row).collect(),
        })
    }
}

fn row<'a>(
    class: &ClassOverlap,
    name: &'a str,
    interval: Option<Interval>,
    pixels: u64,
) -> RegionRow<'a> {
    let share = |share: Option<f64>| share.map_or_else(|| NOTHING.into(), percent);
    let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let found = class.accuracy.map(|recall| recall * class.pixels as f64);
    let precision = found.filter(|_| class.predicted_pixels > 0);
    let bounds = class.iou.zip(interval);
    RegionRow {
        name,
        share: share(ratio(class.pixels, pixels)),
        iou: share(class.iou),
        interval: interval.map_or_else(|| NOTHING.into(), interval_text),
        bar: bounds.map(|(iou, interval)| bar(interval, iou)),
        dice: share(class.dice),
        recall: share(class.accuracy),
        precision: share(precision.map(|found| found / class.predicted_pixels as f64)),
    }
}

/// A group of photos with their masks.
pub(crate) struct Masks<'a> {
    pub(crate) title: &'a str,
    pub(crate) note: Option<&'a str>,
    /// Name and colour, as CSS has it.
    pub(crate) legend: Vec<(&'a str, String)>,
    pub(crate) photos: Vec<MaskRow<'a>>,
}

/// A photo, its true and its predicted mask, and where they differ.
pub(crate) struct MaskRow<'a> {
    pub(crate) path: &'a str,
    pub(crate) caption: &'a str,
    /// What each picture is, and the picture.
    pub(crate) pictures: [(&'static str, Thumbnail); 4],
}

impl<'a> Masks<'a> {
    pub(crate) fn new(group: &'a MaskGroup) -> Result<Self, Error> {
        let color = |(name, [red, green, blue]): &'a (String, [u8; 3])| {
            (name.as_str(), format!("rgb({red} {green} {blue})"))
        };
        Ok(Self {
            title: &group.title,
            note: group.note.as_deref(),
            legend: group.legend.iter().map(color).collect(),
            photos: group
                .photos
                .iter()
                .map(mask_row)
                .collect::<Result<_, _>>()?,
        })
    }
}

fn mask_row(about: &SegmentedPhoto) -> Result<MaskRow<'_>, Error> {
    let small = |image| Thumbnail::new(image, &about.path, LONGEST_SIDE);
    Ok(MaskRow {
        path: &about.path,
        caption: &about.caption,
        pictures: [
            ("photo", small(&about.photo)?),
            ("truth", small(&about.truth)?),
            ("prediction", small(&about.prediction)?),
            ("errors", small(&about.errors)?),
        ],
    })
}
