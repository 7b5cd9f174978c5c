//! Images of CIFAR's size, held in memory.

use std::path::Path;

use super::binary;
#[cfg(feature = "pickle")]
use super::python;
use crate::dataset::{Content, Dataset, DatasetFormat};
use crate::{Error, Image};

/// Height and width.
pub(super) const SIDE: usize = 32;
/// Bytes of an image: its red, its green and its blue values, each row by row.
pub(super) const PIXELS: usize = 3 * SIDE * SIDE;

/// Which labels an image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// CIFAR-10: one.
    Ten,
    /// CIFAR-100: a coarse one and a fine one.
    Hundred(Labels),
}

/// Which of CIFAR-100's labels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    Coarse,
    Fine,
}

/// The images of one file.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// The file, as messages name it.
    pub(super) name: String,
    pub(super) pixels: Pixels,
    pub(super) labels: Vec<u8>,
}

/// The bytes of a file's images.
#[derive(Clone, Debug)]
pub(super) struct Pixels {
    pub(super) bytes: Vec<u8>,
    /// Where the first image begins, and from one to the next.
    pub(super) start: usize,
    pub(super) step: usize,
}

/// Images of 32x32 pixels in red, green and blue, of CIFAR's files or others of their form, held in
/// memory.
#[derive(Clone, Debug)]
pub struct CifarImages {
    batches: Vec<Batch>,
    classes: Vec<String>,
}

impl CifarImages {
    /// The dataset of the bytes of a binary file of CIFAR-10, with numbers for classes: for each
    /// image a label and 3,072 values.
    ///
    /// # Errors
    ///
    /// What contradicts the format, in words.
    pub fn parse_binary(file: Vec<u8>) -> Result<Self, String> {
        Ok(Self::of_batch(binary::parse(file, Kind::Ten)?))
    }

    /// The dataset of the bytes of a pickle of CIFAR-10, with numbers for classes: a dictionary of
    /// an array `data` and a list `labels`. Nothing in it is executed.
    ///
    /// # Errors
    ///
    /// What contradicts the format, in words.
    #[cfg(feature = "pickle")]
    pub fn parse_pickle(file: &[u8]) -> Result<Self, String> {
        Ok(Self::of_batch(python::parse(file, Kind::Ten)?))
    }

    fn of_batch(batch: Batch) -> Self {
        let classes = batch
            .labels
            .iter()
            .max()
            .map_or(0, |&label| usize::from(label) + 1);
        Self {
            classes: (0..classes).map(|class| class.to_string()).collect(),
            batches: vec![batch],
        }
    }

    pub(super) fn of_batches(batches: Vec<Batch>, classes: Vec<String>) -> Self {
        Self { batches, classes }
    }

    /// The file that holds a sample, and the sample's number in it.
    fn locate(&self, index: usize) -> Option<(&Batch, usize)> {
        let mut place = index;
        for batch in &self.batches {
            if place < batch.labels.len() {
                return Some((batch, place));
            }
            place -= batch.labels.len();
        }
        None
    }
}

impl Batch {
    /// Names the file in messages.
    pub(super) fn named(self, path: &Path) -> Self {
        Self {
            name: path.display().to_string(),
            ..self
        }
    }

    /// An image, from planes to pixels.
    fn image(&self, index: usize) -> Result<Image, Error> {
        let Pixels { bytes, start, step } = &self.pixels;
        let stored = index
            .checked_mul(*step)
            .and_then(|offset| bytes.get(offset.checked_add(*start)?..)?.get(..PIXELS));
        let stored = stored.ok_or_else(|| Error::NoSuchSample {
            index,
            len: self.labels.len(),
        })?;
        let (red, others) = stored.split_at(SIDE * SIDE);
        let (green, blue) = others.split_at(SIDE * SIDE);
        let pixels = red.iter().zip(green).zip(blue);
        let bytes = pixels.flat_map(|((&red, &green), &blue)| [red, green, blue]);
        Image::from_pixels(SIDE, SIDE, 3, bytes.collect())
    }
}

impl Dataset for CifarImages {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Cifar
    }

    fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.labels.len()).sum()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> String {
        match self.locate(index) {
            Some((batch, place)) => format!("{}#{place}", batch.name),
            None => format!("#{index}"),
        }
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.locate(index)
            .map(|(batch, place)| batch.labels[place].into())
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let (batch, place) = self.locate(index).ok_or(Error::NoSuchSample {
            index,
            len: self.len(),
        })?;
        Ok(Content::Pixels(batch.image(place)?))
    }
}
