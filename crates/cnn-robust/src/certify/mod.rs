//! What is certain of a classifier's answers: no attack within a radius changes them.

mod certificate;
mod smoothing;

pub use certificate::{Certificate, CertifiedClass, certified_accuracy};
pub use smoothing::Smoothing;
