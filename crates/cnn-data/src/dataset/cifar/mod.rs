//! CIFAR-10 and CIFAR-100 as their authors publish them: binary files, and Python's pickles.

mod binary;
mod images;
mod layout;
#[cfg(feature = "pickle")]
mod python;

pub use images::CifarImages;
pub(super) use layout::CifarLayout;
