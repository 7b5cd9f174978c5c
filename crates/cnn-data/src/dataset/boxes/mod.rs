//! Photos whose objects stand in files of their own: Pascal VOC's XML and YOLO's text.

mod faults;
mod frame;
mod images;
mod layout;
mod names;
mod pairs;
mod photo_places;
mod voc;
mod voc_layout;
mod yaml;
mod yolo;
mod yolo_data;
mod yolo_layout;

pub(super) use faults::{Fault, Place, PlacedObject, Tally, mended};
pub(super) use frame::in_frame;
pub use images::BoxedImages;
pub(super) use layout::{BoxFiles, BoxLayout, may_annotate};
pub use voc::VocAnnotation;
pub use yolo::YoloLabels;
pub use yolo_data::YoloData;
