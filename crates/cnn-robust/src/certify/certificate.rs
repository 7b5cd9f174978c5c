//! What was certified of an image.

/// An answer that is certain within a radius: in L2 of a smoothed classifier
/// ([`Smoothing`](super::Smoothing)), in L∞ by bounds of the scores
/// ([`IntervalBounds`](super::IntervalBounds)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Certificate {
    /// Too few of a smoothed classifier's noisy images have one class.
    Abstained,
    /// The class, and how far it is certain.
    Class(CertifiedClass),
}

/// A class that stays the same within a radius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CertifiedClass {
    /// The class.
    pub class: u32,
    /// What its probability under noise is at least; 1 where no noise is used.
    pub probability: f64,
    /// The radius, of images with values in 0..1; 0 where the class is the answer and nothing more
    /// is known.
    pub radius: f64,
}

impl Certificate {
    /// Whether the class is this one, and stays it within a radius.
    pub fn holds(&self, label: u32, radius: f64) -> bool {
        match self {
            Self::Abstained => false,
            Self::Class(certified) => certified.class == label && certified.radius >= radius,
        }
    }
}
