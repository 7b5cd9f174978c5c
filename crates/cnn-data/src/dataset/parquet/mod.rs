//! The Hugging Face hub's parquet files (the feature `parquet`).

mod file;
mod images;
mod source;

pub use images::ParquetImages;
