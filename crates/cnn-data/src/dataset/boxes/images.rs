//! Photos with boxes, as a dataset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::in_frame;
use crate::annotation::Trained;
use crate::dataset::{Content, Dataset, DatasetFormat, Sample};
use crate::image::PhotoFrame;
use crate::{AnnotatedObject, Decoded, Error, Limits, decode_with_limits};

/// Photos and, for each, the file of its objects: XML of Pascal VOC's, or text of YOLO's.
///
/// [`Dataset::classes`] are, of VOC, the names in all splits, sorted, or those of a `classes.txt` that
/// names all of them; of YOLO the names of `data.yaml`, `classes.txt` or `obj.names` in their order.
/// There are no labels and no masks.
///
/// # Faults
///
/// What the files of VOC, YOLO and COCO have wrong is mended or refused by one table.
/// [`FoundDataset::notes`](crate::FoundDataset::notes) count what is mended and name the first place
/// of each kind. *Measured* is what [`Dataset::objects`] gives, *trained on* what [`Dataset::read`]
/// gives.
///
/// | fault | measured | trained on |
/// |---|---|---|
/// | edges the wrong way round (VOC) | exchanged | exchanged |
/// | no width or no height | left out | left out |
/// | outside of the photo | left out | left out |
/// | partly outside | as the file says | the part inside |
/// | the same class and edges twice | both | once |
/// | a crowd (COCO), a difficult object (VOC) | with its flag | ignored |
/// | no number, not finite, a width below 0, no share of the photo (YOLO) | the photo is an error | the same |
/// | a class that the list of names does not have (YOLO) | the photo is an error | the same |
/// | a class or an image that is not there (COCO) | the file is an error | the same |
/// | a photo of another size than its annotations say | the photo is an error | the same |
/// | annotations without a size (VOC) | the photo's size counts | the same |
/// | no XML, no text, a document type definition, too large | the photo is an error | the same |
/// | a photo without a file (YOLO), or without objects | no objects | an image without boxes |
/// | a photo without a file (VOC) | in a list an error, or else left out | the same |
/// | a file without a photo (VOC, YOLO) | left out | left out |
/// | an image that is not there (COCO) | the photo is an error | the same |
///
/// A photo whose file says that it lies on its side is turned. Its annotations are turned with it
/// if they have the size that it is stored in; shares of YOLO's are those of the upright photo.
///
/// ```
/// use cnn_data::{Dataset, DatasetFormat, FoundDataset, Image};
///
/// # let folder = tempfile::tempdir()?;
/// # let blood = folder.path();
/// Image::from_pixels(30, 40, 1, vec![90; 1200])?.write_png(&blood.join("1.png"))?;
/// std::fs::write(blood.join("1.txt"), "1 0.5 0.5 0.25 0.5\n")?;
/// std::fs::write(blood.join("classes.txt"), "red\nwhite\n")?;
///
/// let found = FoundDataset::at(blood)?;
/// assert_eq!(found.format(), DatasetFormat::Yolo);
/// let dataset = found.open(None)?;
/// let sample = dataset.read(0)?;
/// assert_eq!(sample.boxes[0].edges(), [15.0, 7.5, 25.0, 22.5]);
/// assert_eq!(dataset.classes()[sample.boxes[0].class], "white");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BoxedImages {
    format: DatasetFormat,
    root: PathBuf,
    classes: Vec<String>,
    photos: Arc<[BoxedPhoto]>,
}

/// A photo and its objects.
#[derive(Clone, Debug)]
pub(super) struct BoxedPhoto {
    pub(super) photo: PathBuf,
    pub(super) annotation: Option<PathBuf>,
    pub(super) unit: Unit,
    /// The objects in this unit, or why there are none.
    pub(super) objects: Result<Vec<AnnotatedObject>, String>,
}

/// What lengths in a file are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    /// Shares of the photo's width and height.
    Share,
    /// Pixels of a photo of this height and width, or of any.
    Pixel(Option<[usize; 2]>),
}

impl BoxedImages {
    pub(super) fn new(
        format: DatasetFormat,
        root: &Path,
        classes: Vec<String>,
        photos: Arc<[BoxedPhoto]>,
    ) -> Self {
        Self {
            format,
            root: root.to_owned(),
            classes,
            photos,
        }
    }

    /// A sample's photo.
    pub fn photo(&self, index: usize) -> Option<&Path> {
        self.photos.get(index).map(|photo| photo.photo.as_path())
    }

    /// The file of a sample's objects; `None` where it has none.
    pub fn annotation_file(&self, index: usize) -> Option<&Path> {
        self.photos.get(index)?.annotation.as_deref()
    }

    fn boxed(&self, index: usize) -> Result<&BoxedPhoto, Error> {
        let len = self.photos.len();
        let photo = self.photos.get(index);
        photo.ok_or(Error::NoSuchSample { index, len })
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>, Error> {
        let path = &self.boxed(index)?.photo;
        std::fs::read(path).map_err(|error| Error::io("read", path, error))
    }
}

impl BoxedPhoto {
    /// The objects in pixels of the upright photo.
    fn objects_in(&self, frame: PhotoFrame) -> Result<Vec<AnnotatedObject>, Error> {
        let file = self.annotation.as_deref().unwrap_or(&self.photo);
        let broken = |reason: String| Error::broken_dataset(file, reason);
        let objects = self.objects.clone().map_err(broken)?;
        match self.unit {
            Unit::Pixel(size) => in_frame(objects, size, frame).map_err(broken),
            Unit::Share => {
                let [height, width] = frame.upright().map(|side| side as f64);
                let scaled = objects.iter().map(|object| object.scaled([width, height]));
                Ok(scaled.collect())
            }
        }
    }
}

impl Dataset for BoxedImages {
    fn format(&self) -> DatasetFormat {
        self.format
    }

    fn len(&self) -> usize {
        self.photos.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> String {
        match self.photo(index) {
            Some(path) => path.display().to_string(),
            None => format!("{}#{index}", self.root.display()),
        }
    }

    fn label(&self, _index: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        Ok(Content::Encoded(self.bytes(index)?))
    }

    fn has_boxes(&self) -> bool {
        true
    }

    fn objects(&self, index: usize) -> Result<Vec<AnnotatedObject>, Error> {
        let objects = || {
            let frame = PhotoFrame::read(&self.bytes(index)?)?;
            self.boxed(index)?.objects_in(frame)
        };
        objects().map_err(|error| error.at(self.id(index)))
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let sample = || {
            let decoded = decode_with_limits(&self.bytes(index)?, &Limits::default())?;
            let objects = self.boxed(index)?.objects_in(PhotoFrame::of(&decoded))?;
            let Decoded { image, .. } = decoded;
            let Trained { boxes, ignored } = Trained::of(&objects, image.height(), image.width());
            Ok(Sample::new(image, None)
                .with_boxes(boxes)
                .with_ignored(ignored))
        };
        sample().map_err(|error: Error| error.at(self.id(index)))
    }
}
