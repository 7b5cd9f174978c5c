//! Photos whose objects stand in a file of their own, XML of VOC's or text of YOLO's.
//!
//! The rules:
//! 1. Pascal VOC: XML files with the root `annotation`. The lists in `ImageSets/Main` tell the
//!    splits, or else folders that are called so.
//! 2. YOLO: a `data.yaml` or another YAML file in the folder that names classes; or else text files
//!    of whose first ones at least half are lines of five numbers or of outlines. The splits are
//!    those of the YAML file, or lists called `train.txt` and so on, or folders that are called so.
//! 3. The file of a photo lies where a folder of annotations takes the place of the photos' folder,
//!    as `labels/train/1.txt` of `images/train/1.jpg`, or beside the photo (`pairs.rs`).
//! 4. At least half of the photos have a file, unless lists or a YAML file say which photos count.
//! 5. Two or more class folders with such files beside their images stay class folders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::images::{BoxedImages, BoxedPhoto};
use super::{voc_layout, yolo_layout};
use crate::Error;
use crate::dataset::files::has_extension;
use crate::dataset::{DatasetFormat, Split};

/// Photos with the objects in them.
#[derive(Debug)]
pub(in crate::dataset) struct BoxLayout {
    pub(super) format: DatasetFormat,
    pub(super) root: PathBuf,
    pub(super) classes: Vec<String>,
    pub(in crate::dataset) parts: Vec<BoxPart>,
    pub(in crate::dataset) notes: Vec<String>,
}

/// The photos of a split.
#[derive(Debug)]
pub(in crate::dataset) struct BoxPart {
    pub(in crate::dataset) split: Option<Split>,
    pub(super) photos: Arc<[BoxedPhoto]>,
}

/// What lies in a folder.
pub(in crate::dataset) struct BoxFiles<'a> {
    pub(in crate::dataset) root: &'a Path,
    /// The folder inside of those that hold only one folder each.
    pub(in crate::dataset) place: &'a Path,
    pub(in crate::dataset) images: &'a [PathBuf],
    /// Files that [`may_annotate`] accepts.
    pub(in crate::dataset) annotations: &'a [PathBuf],
    /// Whether folders may be classes, two of them or more.
    pub(in crate::dataset) are_classes: bool,
}

impl BoxFiles<'_> {
    pub(super) fn with_ending(&self, endings: &[&str]) -> Vec<&Path> {
        let files = self.annotations.iter().map(PathBuf::as_path);
        files.filter(|file| has_extension(file, endings)).collect()
    }
}

/// Whether a file may be of VOC's or YOLO's, by its name.
pub(in crate::dataset) fn may_annotate(path: &Path) -> bool {
    has_extension(path, &["xml", "txt", "yaml", "yml"])
}

impl BoxLayout {
    /// Recognises photos with their objects; `unread` learns why files that look like it are none.
    pub(in crate::dataset) fn recognise(
        files: &BoxFiles<'_>,
        unread: &mut Vec<String>,
    ) -> Result<Option<Self>, Error> {
        if files.annotations.is_empty() {
            return Ok(None);
        }
        match voc_layout::recognise(files, unread)? {
            Some(layout) => Ok(Some(layout)),
            None => yolo_layout::recognise(files, unread),
        }
    }

    /// The dataset that a YAML file of YOLO's names.
    pub(in crate::dataset) fn of_yaml(file: &Path) -> Result<Self, Error> {
        yolo_layout::of_yaml(file)
    }

    pub(in crate::dataset) fn format(&self) -> DatasetFormat {
        self.format
    }

    pub(in crate::dataset) fn open(&self, number: usize) -> BoxedImages {
        BoxedImages::new(
            self.format,
            &self.root,
            self.classes.clone(),
            self.parts[number].photos.clone(),
        )
    }
}
