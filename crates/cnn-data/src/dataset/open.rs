//! Opening a dataset of any format.

use std::path::Path;
use std::sync::Arc;

use super::{Dataset, FoundDataset, Split};
use crate::Error;

/// Opens the dataset at `path`, recognising its format by its content.
///
/// [`DatasetFormat`](crate::DatasetFormat) lists the formats that are known. `split` chooses a part.
/// `None` reads a dataset that is not divided, or that has only one part.
///
/// # Errors
///
/// As [`FoundDataset::at`] and [`FoundDataset::open`].
///
/// ```
/// use cnn_data::{Dataset, Image, Split, open_dataset};
///
/// # let folder = tempfile::tempdir()?;
/// # let photos = folder.path();
/// for (class, grey) in [("cats", 50), ("dogs", 200)] {
///     std::fs::create_dir_all(photos.join("train").join(class))?;
///     Image::from_pixels(4, 4, 1, vec![grey; 16])?
///         .write_png(&photos.join("train").join(class).join("1.png"))?;
/// }
///
/// let dataset = open_dataset(photos, Split::Train)?;
/// assert_eq!(
///     (dataset.len(), dataset.classes()),
///     (2, &["cats".to_string(), "dogs".to_string()][..])
/// );
/// assert_eq!(dataset.read(1)?.label, Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open_dataset(
    path: &Path,
    split: impl Into<Option<Split>>,
) -> Result<Arc<dyn Dataset>, Error> {
    FoundDataset::at(path)?.open(split)
}
