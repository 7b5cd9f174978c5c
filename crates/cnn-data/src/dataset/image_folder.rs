//! One folder of images per class.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::{file_name, files_in, folders_in, image_files};
use super::{Content, Dataset, DatasetFormat, Split};
use crate::{Error, FileFormat};

/// Images whose class is the name of their folder. As in torchvision, classes are numbered by their
/// sorted names, images in subfolders are found too, and hidden files are ignored. A GIF is no
/// training image, as photo sites send one in place of a photo that is gone. It is listed all the
/// same, so that it is reported as skipped.
///
/// If the dataset has splits, its classes are those of all splits together, so that a number means
/// the same class in each split even if a split lacks some classes. A split without class folders,
/// such as the unlabelled test images of a competition, is not counted as a split.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Vec<String>,
    samples: Vec<(PathBuf, usize)>,
}

impl ImageFolder {
    /// Lists the images of `root/<class>/`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a folder cannot be listed, [`Error::NoImages`] if there are no images in
    /// class folders.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let classes = class_names([root])?;
        Self::open_with_classes(root, classes)
    }

    /// Lists the images of `root/<class>/` for the given classes; other folders are ignored.
    ///
    /// # Errors
    ///
    /// As [`ImageFolder::open`].
    pub fn open_with_classes(root: &Path, classes: Vec<String>) -> Result<Self, Error> {
        let mut samples = Vec::new();
        for (label, class) in classes.iter().enumerate() {
            let folder = root.join(class);
            if folder.is_dir() {
                samples.extend(image_files(&folder)?.into_iter().map(|path| (path, label)));
            }
        }
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

/// Where the class folders lie.
#[derive(Clone, Debug)]
pub(super) struct FolderLayout {
    pub(super) classes: Vec<String>,
    /// The folder that holds the class folders, for each split; the dataset's own folder if there
    /// are no splits.
    pub(super) roots: Vec<(Option<Split>, PathBuf)>,
}

impl FolderLayout {
    /// Recognises class folders; otherwise says what was found instead.
    pub(super) fn recognise(root: &Path) -> Result<Result<Self, String>, Error> {
        let mut roots = Vec::new();
        let candidates = candidate_roots(root)?;
        for (split, folder) in &candidates {
            if holds_class_folders(folder)? {
                roots.push((*split, folder.clone()));
            }
        }
        if roots.is_empty() {
            return Ok(Err(why_not(&candidates[0].1)?));
        }
        if let Some([(split, first), (_, second)]) = roots.array_windows().find(|[a, b]| a.0 == b.0)
        {
            let split = split.map_or("", Split::name);
            return Ok(Err(format!(
                "both {} and {} could be its {split} split",
                first.display(),
                second.display()
            )));
        }
        let classes = class_names(roots.iter().map(|(_, folder)| folder.as_path()))?;
        Ok(Ok(Self { classes, roots }))
    }

    pub(super) fn open(&self, root: &Path) -> Result<ImageFolder, Error> {
        ImageFolder::open_with_classes(root, self.classes.clone())
    }
}

/// The folders named like splits, in the splits' order, or the dataset's own folder.
pub(super) fn candidate_roots(root: &Path) -> Result<Vec<(Option<Split>, PathBuf)>, Error> {
    let of_split = |folder: PathBuf| Some((Some(Split::of_name(&file_name(&folder))?), folder));
    let mut roots: Vec<_> = folders_in(root)?.into_iter().filter_map(of_split).collect();
    roots.sort();
    if roots.is_empty() {
        roots.push((None, root.to_owned()));
    }
    Ok(roots)
}

fn class_names<'a>(roots: impl IntoIterator<Item = &'a Path>) -> Result<Vec<String>, Error> {
    let mut names = BTreeSet::new();
    for root in roots {
        names.extend(folders_in(root)?.iter().map(|folder| file_name(folder)));
    }
    Ok(names.into_iter().collect())
}

fn holds_class_folders(root: &Path) -> Result<bool, Error> {
    for folder in folders_in(root)? {
        if !image_files(&folder)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn why_not(folder: &Path) -> Result<String, Error> {
    let images = image_files(folder)?.len();
    Ok(match images {
        0 if folders_in(folder)?.is_empty() && files_in(folder)?.is_empty() => {
            format!("{} is empty", folder.display())
        }
        0 => format!("no images below {}", folder.display()),
        _ => format!(
            "the {images} images in {} lie in no class folders",
            folder.display()
        ),
    })
}
