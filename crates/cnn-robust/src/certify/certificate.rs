//! What was certified of an image.

use crate::Error;

/// An answer of a smoothed classifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Certificate {
    /// Too few of the noisy images have one class.
    Abstained,
    /// The class, and how far it is certain.
    Class(CertifiedClass),
}

/// A class that stays the same within a radius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CertifiedClass {
    /// The class.
    pub class: u32,
    /// What its probability under noise is at least.
    pub probability: f64,
    /// The radius in L2, of images with values in 0..1.
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

/// The share of images whose class is right and certain within each radius: the certified accuracy curve.
///
/// # Errors
/// [`Error::Argument`] without images, or if there are not as many labels as certificates.
///
/// ```
/// use cnn_robust::certify::{Certificate, CertifiedClass, certified_accuracy};
///
/// let sure = Certificate::Class(CertifiedClass {
///     class: 3,
///     probability: 0.9,
///     radius: 0.5,
/// });
/// let certificates = [sure, sure, Certificate::Abstained];
/// let curve = certified_accuracy(&certificates, &[3, 4, 3], &[0., 0.4, 0.6])?;
/// assert_eq!(curve, [1. / 3., 1. / 3., 0.]);
/// # Ok::<(), cnn_robust::Error>(())
/// ```
pub fn certified_accuracy(
    certificates: &[Certificate],
    labels: &[u32],
    radii: &[f64],
) -> Result<Vec<f64>, Error> {
    if certificates.len() != labels.len() || labels.is_empty() {
        let expected = format!(
            "as many as certificates, {}, and at least one",
            certificates.len()
        );
        return Err(Error::argument("labels", labels.len(), expected));
    }
    let share = |&radius: &f64| {
        let pairs = certificates.iter().zip(labels);
        let holds = pairs.filter(|(certificate, label)| certificate.holds(**label, radius));
        holds.count() as f64 / labels.len() as f64
    };
    Ok(radii.iter().map(share).collect())
}
