//! Training with bounds of what the network can say: interval bound propagation (S. Gowal et al.
//! 2018, arXiv:1810.12715).

mod accuracy;
mod ramp;
mod step;
mod task;

pub use accuracy::CertifiedAccuracy;
pub(super) use ramp::Ramp;
pub use step::IntervalStep;
