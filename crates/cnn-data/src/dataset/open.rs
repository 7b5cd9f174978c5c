//! Opening a dataset of any format.

use std::path::Path;
use std::sync::Arc;

use super::{Dataset, Discovery, Split};
use crate::Error;

/// Opens the dataset at `path`, recognising its format by its content.
///
/// Known are a folder of images per class (directly, or in `train`, `val` and `test`), MNIST's IDX files, and the
/// Hugging Face hub's parquet files (in a folder, or one file; the feature `parquet`). `split` chooses a part; `None` reads a dataset that is
/// not divided, or the only part of one that is.
///
/// # Errors
///
/// [`Error::Io`] if the path does not exist, [`Error::UnknownDataset`] if nothing is recognised,
/// [`Error::WithoutFeature`] if the format's reader was left out of this build, [`Error::NoSuchSplit`] and [`Error::SplitNotChosen`] naming the splits that exist, [`Error::BrokenDataset`] if a
/// file contradicts its format.
pub fn open_dataset(path: &Path, split: impl Into<Option<Split>>) -> Result<Arc<dyn Dataset>, Error> {
    Discovery::of(path)?.open(split.into()).map(Arc::from)
}
