//! Attacks: small changes of images after which a network errs.
//!
//! One file each, with its paper. An [`Attack`] works on a batch of images of which it knows the
//! labels, and asks the model for scores and gradients alone.

mod apgd;
mod auto_attack;
mod batch;
mod fab;
mod fgsm;
mod loss;
mod pgd;
mod projection;
mod square;

pub use apgd::Apgd;
pub use auto_attack::{AttackReport, AutoAttack, Verdict};
pub use batch::{Attack, AttackBatch};
pub use fab::FabT;
pub use fgsm::Fgsm;
pub(crate) use fgsm::sign;
pub use loss::{CrossEntropyLoss, DlrLoss, MarginLoss, TargetedDlrLoss};
pub use pgd::Pgd;
pub use square::Square;
