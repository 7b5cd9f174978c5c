//! How good a network is on images without labels, by what it says of them alone.

mod a_distance;
mod batch_nuclear_norm;
mod deep_embedded_validation;
mod domain_classifier;
mod entropy;
mod features;
mod probabilities;
mod soft_neighborhood_density;

pub use a_distance::{ADistance, a_distance};
pub use batch_nuclear_norm::batch_nuclear_norm;
pub use deep_embedded_validation::deep_embedded_validation;
pub use domain_classifier::{DomainClassifier, DomainClassifierConfig};
pub use entropy::{information_maximization, mean_entropy};
pub use features::DomainFeatures;
pub use soft_neighborhood_density::{SND_TEMPERATURE, soft_neighborhood_density};
