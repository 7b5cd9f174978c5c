//! Datasets.
mod split;
pub use split::Split;
pub(crate) const LOOKED_FOR: &str = "class folders with images in them, alone or in train, val and test; IDX files named like `train-images-idx3-ubyte.gz` with their labels; parquet files with an image column";
