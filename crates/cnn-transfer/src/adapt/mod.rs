//! Domain adaptation: what makes a network work on images of a kind that it has no labels of.
//!
//! - [`Adaptation`] trains a network with the labels of one domain to work on another, by an
//!   [`AdaptationMethod`]; a [`Validator`] chooses the epoch without labels of the target, which is
//!   [`Unlabelled`];
//! - [`TransferLoss`]: what a method adds to the loss of the source, and how one of one's own does;
//! - [`reverse_gradient`], [`WarmStart`]: the layer between a network and its adversary;
//! - [`losses`]: how far the features of two domains lie apart, and how unsure a network is;
//! - [`DomainDiscriminator`]: the layers that methods add to a network, which has a bottleneck
//!   ([`Bottlenecked`](cnn_models::Bottlenecked)) before its classes;
//! - [`centroid_labels`]: labels that features suggest themselves;
//! - [`FourierStyle`]: photos of one domain with the colours and light of another;
//! - [`DomainShift`], [`Shifted`]: another domain made of any images: noise, sketches, posters, other
//!   backgrounds;
//! - [`MatchedClasses`], [`FewLabels`]: the classes of two domains, and a few labels of the target.
//!
//! The source is the domain that has labels, the target the one without. Where a loss needs a label
//! of the domain, that of the source is 1 and that of the target 0.

mod augmentation;
mod centroids;
mod domain_discriminator;
mod domains;
mod few_labels;
mod fourier;
mod gradient_reversal;
mod groups;
pub mod losses;
mod matched_classes;
mod methods;
mod run;
mod shift;
mod task;
mod transfer_loss;
mod unlabelled;
mod validator;
mod vectors;

pub use augmentation::strong_augmentation;
pub use centroids::{FeaturesAndLogits, centroid_labels};
pub use domain_discriminator::{DomainDiscriminator, DomainDiscriminatorConfig};
pub use domains::Domains;
pub use few_labels::FewLabels;
pub use fourier::{FourierStyle, Pixels};
pub use gradient_reversal::{WarmStart, reverse_gradient};
pub use matched_classes::MatchedClasses;
pub use methods::{
    AdaptationMethod, Beginning, ConditionalAdversarial, DomainAdversarial, METHODS, MethodInfo,
};
pub use run::{Adaptation, AdaptationConfig, AdaptationSummary};
pub use shift::{Backgrounds, DomainShift, Shifted};
pub use task::FeatureReader;
pub use transfer_loss::{DomainPair, TransferLoss};
pub use unlabelled::Unlabelled;
pub use validator::{VALIDATORS, Validator};
