//! How robust a classifier is: what attacks leave of its accuracy, and whether their figures can be
//! believed.

mod alarm;
mod diagnosis;
mod judged_attack;
mod meter;
mod named_attack;
mod pixel_batches;
mod result;
mod sweep;

pub use alarm::{Alarm, AlarmKind};
pub use diagnosis::{Diagnosis, diagnose};
pub use judged_attack::JudgedAttack;
pub use meter::{AttackedBatch, AttackedImages, RobustnessMeter};
pub use named_attack::{ATTACKS, AttackSettings, NamedAttack, find_attack};
pub use pixel_batches::PixelBatches;
pub use result::{AttackResult, RobustnessResult};
pub use sweep::{SweepPoint, sweep};
