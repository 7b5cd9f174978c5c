//! Interval bound propagation: S. Gowal et al., "On the Effectiveness of Interval Bound Propagation
//! for Training Verifiably Robust Models", 2018, arXiv:1810.12715.

mod bounded_graph;
mod ends;
mod interval_bounds;
mod margins;
mod rule;
mod weights;

pub(crate) use bounded_graph::BoundedGraph;
pub(crate) use ends::Ends;
pub(crate) use interval_bounds::ball;
pub use interval_bounds::{IntervalBounds, ScoreBounds};
pub(crate) use margins::stays;
pub(crate) use weights::Weights;
