//! Attacks: small changes of images after which a network errs.
//!
//! One file each, with its paper. An [`Attack`] works on a batch of images of which it knows the
//! labels, and asks the model for scores and gradients alone.

mod batch;
mod fgsm;
mod loss;
mod pgd;

pub use batch::{Attack, AttackBatch};
pub use fgsm::Fgsm;
pub(crate) use fgsm::sign;
pub use loss::{CrossEntropyLoss, DlrLoss, MarginLoss, TargetedDlrLoss};
pub use pgd::Pgd;
