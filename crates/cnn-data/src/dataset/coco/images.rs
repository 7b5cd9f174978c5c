//! The images of a COCO file, as a dataset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CocoAnnotations;
use crate::annotation::Trained;
use crate::dataset::boxes::in_frame;
use crate::dataset::masks::fitted;
use crate::dataset::{Content, Dataset, DatasetFormat, Sample};
use crate::image::PhotoFrame;
use crate::{AnnotatedObject, Decoded, Error, Limits, decode_with_limits};

/// The images that a COCO file names, with the boxes of their objects and the masks that are drawn
/// from them.
///
/// [`Dataset::classes`] are the categories in the order of their ids, and
/// [`Dataset::mask_classes`] `background` and the categories behind it; [`CocoAnnotations`] tells
/// how masks are drawn. There are no labels.
///
/// A photo whose file says that it lies on its side is turned; if its annotations have the size that
/// it is stored in, they are turned with it.
#[derive(Clone, Debug)]
pub struct CocoImages {
    file: PathBuf,
    annotations: Arc<CocoAnnotations>,
    photos: Vec<Option<PathBuf>>,
    mask_classes: Vec<String>,
}

impl CocoImages {
    pub(super) fn new(
        file: &Path,
        annotations: Arc<CocoAnnotations>,
        photos: Vec<Option<PathBuf>>,
    ) -> Self {
        let mut mask_classes = Vec::new();
        if annotations.has_masks() {
            mask_classes.push("background".to_owned());
            mask_classes.extend(annotations.categories().iter().cloned());
        }
        Self {
            file: file.to_owned(),
            annotations,
            photos,
            mask_classes,
        }
    }

    /// The file of annotations.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What it says.
    pub fn annotations(&self) -> &CocoAnnotations {
        &self.annotations
    }

    fn photo(&self, index: usize) -> Result<&Path, Error> {
        let len = self.photos.len();
        let photo = self
            .photos
            .get(index)
            .ok_or(Error::NoSuchSample { index, len })?;
        photo.as_deref().ok_or_else(|| {
            let name = self.annotations.file_name(index).unwrap_or_default();
            Error::broken_dataset(&self.file, format!("its image `{name}` is not there"))
        })
    }

    /// The objects in pixels of the upright photo.
    fn objects_in(&self, index: usize, frame: PhotoFrame) -> Result<Vec<AnnotatedObject>, Error> {
        let broken = |reason| Error::broken_dataset(&self.file, reason);
        let objects = self.annotations.objects(index).map_err(broken)?;
        let size = self.annotations.size(index).unwrap_or_default();
        let in_frame = in_frame(objects, Some(size), frame);
        in_frame.map_err(|reason| {
            let name = self.annotations.file_name(index).unwrap_or_default();
            broken(format!("its image `{name}`: {reason}"))
        })
    }

    fn annotated(&self, index: usize, decoded: Decoded) -> Result<Sample, Error> {
        let broken = |reason| Error::broken_dataset(&self.file, reason);
        let objects = self.objects_in(index, PhotoFrame::of(&decoded))?;
        let Trained { boxes, ignored } =
            Trained::of(&objects, decoded.image.height(), decoded.image.width());
        let mask = self.annotations.has_masks();
        let mask = mask.then(|| self.annotations.mask(index).map_err(broken));
        let mask = mask.transpose()?;
        let mask = mask.map(|mask| fitted(mask, &decoded, &self.file));
        let mask = mask.transpose()?;
        let sample = Sample::new(decoded.image, None)
            .with_boxes(boxes)
            .with_ignored(ignored);
        match mask {
            Some(mask) => sample.with_mask(mask),
            None => Ok(sample),
        }
    }
}

impl Dataset for CocoImages {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Coco
    }

    fn len(&self) -> usize {
        self.photos.len()
    }

    fn classes(&self) -> &[String] {
        self.annotations.categories()
    }

    fn mask_classes(&self) -> &[String] {
        &self.mask_classes
    }

    fn id(&self, index: usize) -> String {
        match self.photo(index) {
            Ok(photo) => photo.display().to_string(),
            Err(_) => format!("{}#{index}", self.file.display()),
        }
    }

    fn label(&self, _index: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let path = self.photo(index)?;
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
        Ok(Content::Encoded(bytes))
    }

    fn has_boxes(&self) -> bool {
        true
    }

    fn objects(&self, index: usize) -> Result<Vec<AnnotatedObject>, Error> {
        let objects = || {
            let path = self.photo(index)?;
            let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
            self.objects_in(index, PhotoFrame::read(&bytes)?)
        };
        objects().map_err(|error| error.at(self.id(index)))
    }

    fn image_id(&self, index: usize) -> i64 {
        let id = self.annotations.image_id(index);
        id.unwrap_or((index as i64).saturating_add(1))
    }

    fn category_id(&self, class: usize) -> i64 {
        let id = self.annotations.category_id(class);
        id.unwrap_or((class as i64).saturating_add(1))
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let sample = || {
            let path = self.photo(index)?;
            let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
            self.annotated(index, decode_with_limits(&bytes, &Limits::default())?)
        };
        sample().map_err(|error| error.at(self.id(index)))
    }
}
