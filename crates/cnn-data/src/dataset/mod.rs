//! Datasets: what they have in common, and one file per format.

mod boxes;
mod cached;
mod cifar;
mod class_subset;
mod coco;
mod content;
mod discover;
mod files;
mod folder_layout;
mod idx;
mod image_folder;
mod label_table;
mod masks;
mod open;
#[cfg(feature = "parquet")]
mod parquet;
mod photo_list;
mod photo_names;
mod recognise;
mod recurring;
mod sample;
mod shards;
mod skipped;
mod split;
mod subset;
mod webdataset;

pub use boxes::{BoxedImages, VocAnnotation, YoloData, YoloLabels};
pub use cached::CachedDataset;
pub use cifar::CifarImages;
pub use class_subset::ClassSubset;
pub use coco::{
    CocoAnnotations, CocoImages, PredictedBox, parse_predictions, read_predictions,
    write_predictions,
};
pub use content::Content;
pub(crate) use discover::LOOKED_FOR;
use discover::choose_part;
pub use discover::{DatasetFormat, FoundDataset};
pub(crate) use files::is_image_name;
pub use idx::{IdxArray, IdxImages};
pub use image_folder::ImageFolder;
pub use label_table::{CsvImages, LabelRow, LabelTable};
pub use masks::{MaskClasses, MaskedImages};
pub use open::open_dataset;
#[cfg(feature = "parquet")]
pub use parquet::ParquetImages;
pub use photo_list::PhotoList;
pub(crate) use recognise::has_tables_or_archives;
pub use sample::Sample;
pub use skipped::Skipped;
pub use split::Split;
pub use subset::{Subset, duplicates_across, spread, stratified_split};
pub use webdataset::WebDataset;

use crate::{AnnotatedObject, Error};

/// A finite, ordered collection of images, read one at a time from any thread.
///
/// # Classes
///
/// A class number is an index from 0 into a list of names: that of a label and of a
/// [`BoundingBox`](crate::BoundingBox) into [`Dataset::classes`], a value of a
/// [`Mask`](crate::Mask) into [`Dataset::mask_classes`], where 255, [`Mask::IGNORE`](crate::Mask::IGNORE),
/// is no class. A reader of a file format that counts otherwise converts when it reads.
///
/// ```
/// use cnn_data::{Content, Dataset, Error, Image};
///
/// /// Squares that are black or white.
/// struct Squares {
///     classes: Vec<String>,
/// }
///
/// impl Dataset for Squares {
///     fn len(&self) -> usize {
///         100
///     }
///
///     fn classes(&self) -> &[String] {
///         &self.classes
///     }
///
///     fn label(&self, index: usize) -> Option<usize> {
///         (index < self.len()).then_some(index % 2)
///     }
///
///     fn content(&self, index: usize) -> Result<Content, Error> {
///         let Some(class) = self.label(index) else {
///             return Err(Error::NoSuchSample {
///                 index,
///                 len: self.len(),
///             });
///         };
///         Ok(Content::Pixels(Image::from_pixels(
///             8,
///             8,
///             1,
///             vec![255 * class as u8; 64],
///         )?))
///     }
/// }
///
/// let squares = Squares {
///     classes: vec!["black".to_string(), "white".to_string()],
/// };
/// let sample = squares.read(3)?;
/// assert_eq!((sample.label, sample.image.bytes()[0]), (Some(1), 255));
/// assert!(squares.read(100).is_err());
/// # Ok::<(), Error>(())
/// ```
pub trait Dataset: Send + Sync {
    /// How the dataset is stored. Default [`DatasetFormat::Custom`].
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Custom
    }

    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes' names in the order of their numbers; empty for images without labels.
    ///
    /// The numbers of labels and boxes are indices into this list.
    fn classes(&self) -> &[String];

    /// The names of the classes of masks in the order of their numbers; empty, the default, for
    /// images without masks.
    ///
    /// The values of a [`Mask`](crate::Mask) are indices into this list. It is a list of its own
    /// because pixels can belong to no object: where a dataset has such pixels, it names a class
    /// for them, by custom the first one, `background`.
    fn mask_classes(&self) -> &[String] {
        &[]
    }

    /// A sample's lasting name: its file, with `#` and a number where a file holds several;
    /// something to print for an `index` that is not below [`Dataset::len`]. Default `#` and the
    /// number.
    fn id(&self, index: usize) -> String {
        format!("#{index}")
    }

    /// A sample's class as an index into [`Dataset::classes`]; `None` where it has none.
    fn label(&self, index: usize) -> Option<usize>;

    /// A sample's image as it is stored.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchSample`] if `index` is not below [`Dataset::len`], and what reading its file
    /// gives.
    fn content(&self, index: usize) -> Result<Content, Error>;

    /// Whether samples have boxes, or have none because nothing is in them. Default false; a
    /// dataset whose [`Dataset::read`] gives boxes says true.
    fn has_boxes(&self) -> bool {
        false
    }

    /// The objects in a sample with all that its file says of them, in pixels of the upright photo:
    /// what a detector is measured against. Where this gives a crowd or a difficult object,
    /// [`Dataset::read`] has it in [`Sample::ignored`] and not in [`Sample::boxes`].
    ///
    /// Default the boxes of [`Dataset::read`], of which those that are ignored count as crowds. The
    /// readers of this crate look no further than at the header of the photo.
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`].
    fn objects(&self, index: usize) -> Result<Vec<AnnotatedObject>, Error> {
        if !self.has_boxes() {
            return Ok(Vec::new());
        }
        let Sample { boxes, ignored, .. } = self.read(index)?;
        let boxes = boxes.iter().map(AnnotatedObject::from);
        let ignored = ignored.iter().map(AnnotatedObject::from);
        Ok(boxes
            .chain(ignored.map(|object| object.with_crowd(true)))
            .collect())
    }

    /// The number by which COCO's files call a sample. Default one more than `index`.
    fn image_id(&self, index: usize) -> i64 {
        (index as i64).saturating_add(1)
    }

    /// The number by which COCO's files call a class. Default one more than `class`.
    fn category_id(&self, class: usize) -> i64 {
        (class as i64).saturating_add(1)
    }

    /// A sample, decoded. A dataset with boxes or masks implements this method; otherwise a sample
    /// is its image and its label.
    ///
    /// # Errors
    ///
    /// As [`Dataset::content`] and [`decode`](crate::decode()), with the sample's name.
    fn read(&self, index: usize) -> Result<Sample, Error> {
        let image = self
            .content(index)?
            .into_image()
            .map_err(|error| error.at(self.id(index)))?;
        Ok(Sample::new(image, self.label(index)))
    }
}
