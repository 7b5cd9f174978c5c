//! Tables of images and their labels: CSV and TSV files.

mod classes;
mod columns;
mod image_index;
mod images;
mod layout;
mod table;
mod text;

pub(super) use image_index::ImageIndex;
pub use images::CsvImages;
pub(super) use layout::{CsvLayout, TableFile, UnreadTables, is_table_name, tables_beside};
pub use table::{LabelRow, LabelTable};
