//! Certificates of a dataset.

use cnn_metrics::{Interval, wilson_interval};

use super::Certificate;
use crate::Error;

/// The certificates of labelled images, and what they come to.
///
/// ```
/// use cnn_robust::certify::{Certificate, CertifiedClass, CertifiedImages};
///
/// let mut images = CertifiedImages::default();
/// let class = |class, radius| {
///     Certificate::Class(CertifiedClass { class, probability: 0.9, radius })
/// };
/// images.add(3, class(3, 0.5));
/// images.add(4, class(3, 0.2));
/// images.add(3, Certificate::Abstained);
/// assert_eq!(images.certified_top1(0.4), 1. / 3.);
/// assert_eq!(images.share_of_wrong(), 1. / 3.);
/// assert_eq!(images.abstained(), 1. / 3.);
/// assert_eq!(images.mean_radius(), 0.5 / 3.);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CertifiedImages {
    certificates: Vec<(u32, Certificate)>,
}

impl CertifiedImages {
    /// Adds what was certified of an image with a label.
    pub fn add(&mut self, label: u32, certificate: Certificate) {
        self.certificates.push((label, certificate));
    }

    /// How many images there are.
    pub fn samples(&self) -> usize {
        self.certificates.len()
    }

    /// The share whose class is right, whatever its radius: the accuracy of the smoothed
    /// classifier, or of the network that has bounds.
    pub fn smoothed_top1(&self) -> f64 {
        self.certified_top1(0.)
    }

    /// The share whose class is right and stays it within a radius: the certified accuracy.
    pub fn certified_top1(&self, radius: f64) -> f64 {
        self.share(self.within(radius))
    }

    /// Its 95 % interval over the choice of images.
    ///
    /// # Errors
    /// [`Error::Metrics`] without images.
    pub fn interval(&self, radius: f64) -> Result<Interval, Error> {
        let [right, samples] = [self.within(radius), self.samples()].map(|count| count as u64);
        Ok(wilson_interval(right, samples, 0.95)?)
    }

    /// The share without an answer.
    pub fn abstained(&self) -> f64 {
        self.share(self.count(|_, certificate| *certificate == Certificate::Abstained))
    }

    /// The share with a certificate of a class that is not theirs.
    pub fn share_of_wrong(&self) -> f64 {
        let is_wrong = |label, certificate: &Certificate| {
            *certificate != Certificate::Abstained && !certificate.holds(label, 0.)
        };
        self.share(self.count(is_wrong))
    }

    /// The mean radius over all images, 0 where the class is not right (the average certified
    /// radius of Zhai et al. 2020, arXiv:2001.02378); 0 without images.
    pub fn mean_radius(&self) -> f64 {
        let radius = |(label, certificate): &(u32, Certificate)| match certificate {
            Certificate::Class(certified) if certified.class == *label => certified.radius,
            _ => 0.,
        };
        let sum: f64 = self.certificates.iter().map(radius).sum();
        sum / self.samples().max(1) as f64
    }

    fn within(&self, radius: f64) -> usize {
        self.count(|label, certificate| certificate.holds(label, radius))
    }

    fn count(&self, is_such: impl Fn(u32, &Certificate) -> bool) -> usize {
        let pairs = self.certificates.iter();
        pairs
            .filter(|(label, certificate)| is_such(*label, certificate))
            .count()
    }

    fn share(&self, part: usize) -> f64 {
        part as f64 / self.samples().max(1) as f64
    }
}
