//! Datasets of boxes written in the formats of other programs.

mod coco;
mod export_boxes;
mod format;
mod lost;
mod names;
mod voc;
mod yolo;

pub use export_boxes::{Exported, export_boxes};
pub use format::BoxFormat;
