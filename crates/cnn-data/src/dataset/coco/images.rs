//! The images of a COCO file, as a dataset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CocoAnnotations;
use crate::dataset::masks::fitted;
use crate::dataset::{Content, Dataset, DatasetFormat, Sample};
use crate::{Affine, Decoded, Error, Limits, MaskFault, decode_with_limits};

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

    fn annotated(&self, index: usize, decoded: Decoded) -> Result<Sample, Error> {
        let broken = |reason| Error::broken_dataset(&self.file, reason);
        let upright = [decoded.image.height(), decoded.image.width()];
        let stored = [decoded.info.height, decoded.info.width];
        let size = self.annotations.size(index).unwrap_or_default();
        if size != upright && size != stored {
            return Err(Error::Mask {
                path: self.file.clone(),
                fault: MaskFault::Size {
                    found_width: size[1],
                    found_height: size[0],
                    width: upright[1],
                    height: upright[0],
                },
            });
        }
        let mut boxes = self.annotations.boxes(index).map_err(broken)?;
        if size != upright {
            let turn = turn_of(decoded.orientation, stored);
            boxes = boxes.iter().map(|whole| whole.mapped(&turn)).collect();
        }
        let mask = self.annotations.has_masks();
        let mask = mask.then(|| self.annotations.mask(index).map_err(broken));
        let mask = mask.transpose()?;
        let mask = mask.map(|mask| fitted(mask, &decoded, &self.file));
        let mask = mask.transpose()?;
        let sample = Sample::new(decoded.image, None).with_boxes(boxes);
        match mask {
            Some(mask) => sample.with_mask(mask),
            None => Ok(sample),
        }
    }
}

/// The map from the pixels of a photo as it is stored to those of the upright one.
fn turn_of(orientation: image::metadata::Orientation, [height, width]: [usize; 2]) -> Affine {
    use image::metadata::Orientation;
    let height = height as f64;
    let width = width as f64;
    let rows = match orientation {
        Orientation::NoTransforms => [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        Orientation::FlipHorizontal => [[-1.0, 0.0, width], [0.0, 1.0, 0.0]],
        Orientation::Rotate180 => [[-1.0, 0.0, width], [0.0, -1.0, height]],
        Orientation::FlipVertical => [[1.0, 0.0, 0.0], [0.0, -1.0, height]],
        Orientation::Rotate90FlipH => [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
        Orientation::Rotate90 => [[0.0, -1.0, height], [1.0, 0.0, 0.0]],
        Orientation::Rotate270FlipH => [[0.0, -1.0, height], [-1.0, 0.0, width]],
        Orientation::Rotate270 => [[0.0, 1.0, 0.0], [-1.0, 0.0, width]],
    };
    Affine::new(rows).unwrap_or(Affine::IDENTITY)
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

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let sample = || {
            let path = self.photo(index)?;
            let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
            self.annotated(index, decode_with_limits(&bytes, &Limits::default())?)
        };
        sample().map_err(|error| error.at(self.id(index)))
    }
}
