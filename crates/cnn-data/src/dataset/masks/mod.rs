//! Photos with masks in files of their own, and what their values mean.

mod class_file;
mod class_text;
mod classes;
mod folder_name;
mod images;
mod layout;
mod legend;
mod pairs;
mod scan;
mod voc;

pub use classes::MaskClasses;
pub use images::MaskedImages;
pub(super) use images::fitted;
pub(super) use layout::MaskLayout;
