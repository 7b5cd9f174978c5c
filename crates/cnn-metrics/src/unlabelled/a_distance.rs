//! The proxy A-distance of two domains (Ben-David et al. 2010, "A theory of learning from different
//! domains").

use super::domain_classifier::{DomainClassifier, DomainClassifierConfig};
use super::features::DomainFeatures;
use crate::Error;

/// How far two domains are apart for a linear classifier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ADistance {
    /// `2 (1 − 2 error)`: about 0 where the domains cannot be told apart, by chance a little below, 2
    /// where they always can.
    pub distance: f64,
    /// How often the classifier is wrong on images that it was not trained on, the mean of both
    /// domains.
    pub error: f64,
}

/// The A-distance of features: a [`DomainClassifier`] learns from every other image of each domain,
/// the first, third, …, and is tested on the rest.
///
/// Images should be in an order in which every other one is of all kinds, as those of class folders
/// are.
///
/// # Errors
///
/// [`Error::InvalidArgument`] unless each domain has at least 2 whole rows of finite numbers and the
/// configuration is in its range.
///
/// ```
/// use cnn_metrics::{DomainClassifierConfig, DomainFeatures, a_distance};
///
/// let source: Vec<f32> = (0..20).map(|at| at as f32).collect();
/// let target: Vec<f32> = (0..20).map(|at| at as f32 + 100.0).collect();
/// let far = DomainFeatures { source: &source, target: &target, columns: 1 };
/// let same = DomainFeatures { target: &source, ..far };
/// let config = DomainClassifierConfig::default();
/// assert_eq!(a_distance(far, &config)?.distance, 2.0);
/// assert_eq!(a_distance(same, &config)?.distance, 0.0);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn a_distance(
    features: DomainFeatures<'_>,
    config: &DomainClassifierConfig,
) -> Result<ADistance, Error> {
    features.check(2)?;
    let [source, target] = [
        halves(features.source, features.columns),
        halves(features.target, features.columns),
    ];
    let learnt_from = DomainFeatures {
        source: &source.learnt_from,
        target: &target.learnt_from,
        columns: features.columns,
    };
    let classifier = DomainClassifier::fit(learnt_from, config)?;
    let as_source = |tested: &[f32]| -> Result<f64, Error> {
        let probabilities = classifier.source_probabilities(tested)?;
        let right = probabilities.iter().filter(|&&p| p >= 0.5).count();
        Ok(right as f64 / probabilities.len() as f64)
    };
    let error = (1.0 - as_source(&source.tested)? + as_source(&target.tested)?) / 2.0;
    Ok(ADistance {
        distance: 2.0 * (1.0 - 2.0 * error),
        error,
    })
}

/// The images of a domain by use.
struct Halves {
    learnt_from: Vec<f32>,
    tested: Vec<f32>,
}

fn halves(values: &[f32], columns: usize) -> Halves {
    let every_other = |first: usize| -> Vec<f32> {
        let rows = values.chunks_exact(columns).skip(first).step_by(2);
        rows.flatten().copied().collect()
    };
    Halves {
        learnt_from: every_other(0),
        tested: every_other(1),
    }
}
