//! Losses without labels: how far the features of two domains lie apart, and how unsure a network
//! is of what it says.
//!
//! | loss | what it makes small |
//! |---|---|
//! | [`MultiKernelMmd`], [`JointMmd`], [`coral`], [`CentralMoments`] | a distance of the domains' features |
//! | [`domain_adversarial`], with [`multilinear_map`] and [`entropy_weights`] | what a discriminator can tell |
//! | [`classifier_discrepancy`] | what two heads say differently |
//! | [`ClassConfusion`], [`entropy`], [`information_maximization`] | the target's doubt |
//! | [`confident_cross_entropy`], [`confident_squares`] | how far predictions lie from those of a guide that is sure |
//! | [`HardFeatureNorm`], [`StepwiseFeatureNorm`], [`BatchSpectralPenalty`] | features that are too short or too one-sided |
//!
//! Each is a differentiable scalar, averaged over the batch, in f32 and f64, and reads only what it
//! is given.

mod batch_spectral;
mod central_moments;
mod class_confusion;
mod classifier_discrepancy;
mod conditional;
mod confident;
mod coral;
mod domain_adversarial;
mod entropy;
mod feature_norm;
mod gaussian_kernel;
mod jan;
mod known_gradient;
mod mmd;
mod pairs;
mod root;

pub use batch_spectral::BatchSpectralPenalty;
pub use central_moments::CentralMoments;
pub use class_confusion::ClassConfusion;
pub use classifier_discrepancy::classifier_discrepancy;
pub use conditional::{RandomMultilinearMap, entropy_weights, multilinear_map};
pub use confident::{confident_cross_entropy, confident_squares};
pub use coral::coral;
pub use domain_adversarial::{domain_accuracy, domain_adversarial};
pub use entropy::{entropy, information_maximization};
pub use feature_norm::{HardFeatureNorm, StepwiseFeatureNorm};
pub use gaussian_kernel::GaussianKernel;
pub use jan::JointMmd;
pub use mmd::{MmdEstimate, MultiKernelMmd};
