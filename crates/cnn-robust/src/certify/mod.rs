//! What is certain of a classifier's answers: no attack within a radius changes them. Randomised
//! smoothing fits every network, interval bounds small ones that were trained for them.

mod certificate;
mod certified_images;
pub(crate) mod interval;
mod smoothing;

pub use certificate::{Certificate, CertifiedClass};
pub use certified_images::CertifiedImages;
pub use interval::{IntervalBounds, ScoreBounds};
pub use smoothing::Smoothing;
