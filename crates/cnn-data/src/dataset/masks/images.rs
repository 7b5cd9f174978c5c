//! Photos with masks, as a dataset.

use std::path::{Path, PathBuf};

use super::legend::Legend;
use super::pairs::MaskedPhoto;
use crate::dataset::{Content, Dataset, DatasetFormat, Sample};
use crate::{Decoded, Error, Limits, Mask, MaskFault, decode_with_limits};

/// Photos and, for each, the file of its mask.
///
/// [`Dataset::read`] gives both. What is stored in the masks becomes numbers of
/// [`Dataset::mask_classes`] by the rules that
/// [`FoundDataset::notes`](crate::FoundDataset::notes) tells. There are no labels and no boxes.
///
/// A photo whose file says that it lies on its side is turned, and so is its mask: one of the size
/// that the photo is stored in is turned with it, and one of the upright size is upright already.
/// Where both are the same, as for squares and for photos upside down, the mask counts as upright,
/// as programs for labelling show photos upright.
///
/// ```
/// use cnn_data::{Image, Mask, MaskPalette, open_dataset};
///
/// # let folder = tempfile::tempdir()?;
/// # let streets = folder.path();
/// for folder in ["images", "masks"] {
///     std::fs::create_dir(streets.join(folder))?;
/// }
/// Image::from_pixels(1, 3, 1, vec![90; 3])?.write_png(&streets.join("images/1.png"))?;
/// Mask::new(1, 3, vec![0, 2, 255])?
///     .write_png(&streets.join("masks/1.png"), &MaskPalette::voc())?;
/// std::fs::write(streets.join("classes.txt"), "road\nvoid\ncar\n")?;
///
/// let dataset = open_dataset(streets, None)?;
/// assert_eq!(dataset.mask_classes(), ["road", "car"]);
/// let mask = dataset.read(0)?.mask.expect("each sample has one");
/// assert_eq!(mask.bytes(), [0, 1, Mask::IGNORE]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MaskedImages {
    root: PathBuf,
    photos: Vec<MaskedPhoto>,
    legend: Legend,
}

impl MaskedImages {
    pub(super) fn new(root: &Path, photos: Vec<MaskedPhoto>, legend: Legend) -> Self {
        Self {
            root: root.to_owned(),
            photos,
            legend,
        }
    }

    /// A sample's photo.
    pub fn photo(&self, index: usize) -> Option<&Path> {
        self.photos.get(index).map(|photo| photo.photo.as_path())
    }

    /// The file of a sample's mask; `None` where it has none, or several.
    pub fn mask_file(&self, index: usize) -> Option<&Path> {
        self.photos.get(index)?.mask.as_deref().ok()
    }

    fn masked(&self, index: usize) -> Result<&MaskedPhoto, Error> {
        let len = self.photos.len();
        self.photos
            .get(index)
            .ok_or(Error::NoSuchSample { index, len })
    }

    /// The mask of an upright photo.
    fn mask(&self, photo: &MaskedPhoto, decoded: &Decoded) -> Result<Mask, Error> {
        let path = photo.mask.as_ref().map_err(|fault| Error::Mask {
            path: photo.photo.clone(),
            fault: fault.clone(),
        })?;
        let mask = self.legend.read(path)?;
        fitted(mask, decoded, path)
    }
}

/// The mask of a photo's size, turned as the photo was.
pub(in crate::dataset) fn fitted(
    mask: Mask,
    decoded: &Decoded,
    path: &Path,
) -> Result<Mask, Error> {
    let Decoded {
        image,
        info,
        orientation,
    } = decoded;
    let found = [mask.width(), mask.height()];
    if found == [image.width(), image.height()] {
        return Ok(mask);
    }
    if found == [info.width, info.height] {
        return mask.map_pixels(|pixels| Ok(pixels.oriented(*orientation)));
    }
    Err(Error::Mask {
        path: path.to_owned(),
        fault: MaskFault::Size {
            found_width: mask.width(),
            found_height: mask.height(),
            width: image.width(),
            height: image.height(),
        },
    })
}

impl Dataset for MaskedImages {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Masks
    }

    fn len(&self) -> usize {
        self.photos.len()
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn mask_classes(&self) -> &[String] {
        &self.legend.classes
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
        let path = &self.masked(index)?.photo;
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
        Ok(Content::Encoded(bytes))
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let photo = self.masked(index)?;
        let sample = || {
            let path = &photo.photo;
            let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
            let decoded = decode_with_limits(&bytes, &Limits::default())?;
            let mask = self.mask(photo, &decoded)?;
            Sample::new(decoded.image, None).with_mask(mask)
        };
        sample().map_err(|error| error.at(self.id(index)))
    }
}
