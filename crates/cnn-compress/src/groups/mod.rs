//! Which channels of a network have to go together, found from its graph (Fang et al. 2023,
//! "DepGraph: Towards Any Structural Pruning", arXiv:2301.12900).

mod axis;
mod channels;
mod group;
mod network;
mod tracer;
mod watch;

pub use axis::{Axis, Role};
pub use group::{Group, Slice, Unit};
pub use network::{Groups, Size};
