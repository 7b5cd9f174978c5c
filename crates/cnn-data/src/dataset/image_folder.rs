//! One folder of images per class.

use std::path::{Path, PathBuf};

use super::files::{file_name, folders_in, image_files};
use super::{Content, Dataset, DatasetFormat};
use crate::{Error, FileFormat};

/// Images whose class is the name of their folder. As in torchvision, classes are numbered by their
/// sorted names, images in subfolders are found too, and hidden files are ignored. A GIF is no
/// training image, as photo sites send one in place of a photo that is gone. It is listed all the
/// same, so that it is reported as skipped.
///
/// If the dataset has splits, its classes are those of the training images, followed by those that
/// only other splits have, so that a number means the same class in each split.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Vec<String>,
    samples: Vec<(PathBuf, usize)>,
}

impl ImageFolder {
    /// Lists the images of `root/<class>/`; folders without images are no classes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a folder cannot be listed, [`Error::NoImages`] if there are no images in
    /// class folders.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let mut folders = Vec::new();
        for folder in folders_in(root)? {
            if !image_files(&folder)?.files.is_empty() {
                folders.push(folder);
            }
        }
        let classes = folders.iter().map(|folder| file_name(folder)).collect();
        let mut samples = Vec::new();
        for (class, folder) in folders.iter().enumerate() {
            let files = image_files(folder)?.files;
            samples.extend(files.into_iter().map(|path| (path, class)));
        }
        Self::of_samples(root, classes, samples)
    }

    /// Images with the numbers of their classes.
    pub(super) fn of_samples(
        root: &Path,
        classes: Vec<String>,
        samples: Vec<(PathBuf, usize)>,
    ) -> Result<Self, Error> {
        if samples.is_empty() {
            return Err(Error::NoImages {
                path: root.to_owned(),
            });
        }
        Ok(Self {
            root: root.to_owned(),
            classes,
            samples,
        })
    }

    /// The folder that holds the classes' folders.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A sample's file.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.samples.get(index).map(|(path, _)| path.as_path())
    }
}

impl Dataset for ImageFolder {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::ImageFolder
    }

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> String {
        match self.path(index) {
            Some(path) => path.display().to_string(),
            None => format!("{}#{index}", self.root.display()),
        }
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.samples.get(index).map(|(_, label)| *label)
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let path = self.path(index).ok_or(Error::NoSuchSample {
            index,
            len: self.len(),
        })?;
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
        match FileFormat::recognise(&bytes) {
            Ok(FileFormat::Gif) => Err(Error::NotAPhoto.at(self.id(index))),
            _ => Ok(Content::Encoded(bytes)),
        }
    }
}
