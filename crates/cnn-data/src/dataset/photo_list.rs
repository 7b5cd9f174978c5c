//! Images without labels, from files and folders.

use std::path::{Path, PathBuf};

use super::files::image_files;
use super::{Content, Dataset, DatasetFormat};
use crate::Error;

/// Image files in the order given; a folder stands for the image files below it.
#[derive(Clone, Debug)]
pub struct PhotoList {
    files: Vec<PathBuf>,
}

impl PhotoList {
    /// Lists files and folders. A file is taken whatever its name is; of a folder those files are
    /// taken that are named like images.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a path does not exist or a folder cannot be listed, [`Error::NoImages`] for
    /// a folder without images, [`Error::Argument`] if no path is given.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, Error> {
        if paths.is_empty() {
            return Err(Error::argument(
                "paths",
                "none",
                "at least one image file or folder",
            ));
        }
        let mut files = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            let metadata = path
                .metadata()
                .map_err(|error| Error::io("read", path, error))?;
            if !metadata.is_dir() {
                files.push(path.to_owned());
                continue;
            }
            let found = image_files(path)?.files;
            if found.is_empty() {
                return Err(Error::NoImages {
                    path: path.to_owned(),
                });
            }
            files.extend(found);
        }
        Ok(Self { files })
    }

    /// The files in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Dataset for PhotoList {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Photos
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn id(&self, index: usize) -> String {
        self.files
            .get(index)
            .map_or_else(|| format!("#{index}"), |path| path.display().to_string())
    }

    fn label(&self, _index: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let path = self.files.get(index).ok_or(Error::NoSuchSample {
            index,
            len: self.len(),
        })?;
        std::fs::read(path)
            .map(Content::Encoded)
            .map_err(|error| Error::io("read", path, error))
    }
}
