//! Attacks: small changes of images after which a network errs.
//!
//! One file each, with its paper. An [`Attack`] works on a batch of images of which it knows the
//! labels, and asks the model for scores and gradients alone.

mod adam;
mod apgd;
mod auto_attack;
mod batch;
mod carlini_wagner;
mod checks;
mod deep_fool;
mod fab;
mod fgsm;
mod forms;
mod hop_skip_jump;
mod loss;
mod mi_fgsm;
mod minimal_size;
mod one_pixel;
mod patch;
mod pgd;
mod projection;
mod r_fgsm;
mod spatial;
mod spsa;
mod square;
mod universal;

pub use apgd::Apgd;
pub use auto_attack::{AttackReport, AutoAttack, Verdict};
pub use batch::{Attack, AttackBatch};
pub use carlini_wagner::CarliniWagner;
pub(crate) use checks::{at_least_one, not_negative};
pub use deep_fool::DeepFool;
pub use fab::FabT;
pub use fgsm::Fgsm;
pub(crate) use fgsm::sign;
pub use hop_skip_jump::HopSkipJump;
pub use loss::{CrossEntropyLoss, DlrLoss, MarginLoss, SingleCrossEntropyLoss, TargetedDlrLoss};
pub use mi_fgsm::MiFgsm;
pub use minimal_size::{MinimalSize, MinimalSizes};
pub use one_pixel::OnePixel;
pub use patch::{Patch, PatchPlace, PatchTraining};
pub use pgd::Pgd;
pub use r_fgsm::RFgsm;
pub use spatial::{Fill, Motion, Spatial, SpatialSearch};
pub use spsa::Spsa;
pub use square::Square;
pub use universal::{Universal, UniversalChange};
