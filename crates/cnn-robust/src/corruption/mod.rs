//! Common corruptions of photos: what weather, cameras and compression do, by kind and severity.
//!
//! The fifteen kinds and their five severities are those of ImageNet-C for images with a side of
//! more than 64 pixels, and of CIFAR-10-C for smaller ones (D. Hendrycks, T. Dietterich,
//! "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", 2019,
//! arXiv:1903.12261), with the numbers of the authors' programs `make_imagenet_c.py` and
//! `make_cifar_c.py`. Lengths among them are in pixels of images of 224 and 32 pixels, and are the
//! same for images of other sizes.
//!
//! What differs from the published files: random numbers are other ones, frost is drawn where
//! theirs is cut out of photos, and ImageNet-C's files were stored as JPEG of quality 85 once more.

mod border;
mod brightness;
mod chance;
mod contrast;
mod corrupt;
mod defocus_blur;
mod elastic_transform;
mod fog;
mod frost;
mod gaussian;
mod gaussian_noise;
mod glass_blur;
mod impulse_noise;
mod jpeg;
mod kind;
mod mean_corruption_error;
mod motion;
mod motion_blur;
mod pixelate;
mod pixels;
mod plasma;
mod severity;
mod shot_noise;
mod snow;
mod zoom;
mod zoom_blur;

pub(crate) use border::symmetric;
pub use corrupt::Corrupt;
pub(crate) use gaussian::smoothed;
pub use jpeg::jpeg_round_trip;
pub use kind::{Corruption, CorruptionGroup};
pub use mean_corruption_error::{BaselineErrors, CorruptionErrors, KindErrors};
pub use severity::Severity;
