//! Units that do nothing, and a network without them that computes the same.

mod constants;
mod fold;
mod units;

pub use constants::KnownConstant;
pub use units::{IdleReason, IdleUnits, KeptUnit};
