//! Looking into a network: which filters do nothing, what each stage sees of the image, how
//! activations and weights are spread.

mod activity;
mod candidates;
mod channel_sums;
mod edit;
mod filter_graph;
mod filter_grid;
mod filter_unit;
mod finding;
mod held_out;
mod images;
mod inspection;
mod measure;
mod other_layer;
mod rarefaction;
mod savings;
mod verify;
mod weight_statistics;

pub use channel_sums::{ChannelStatistics, Spread};
pub use filter_graph::{FilterGraph, StageField};
pub use filter_grid::filter_grid;
pub use filter_unit::{FilterUnit, Reader, UnitActivation};
pub use finding::{FilterCounts, FilterKind, Finding, Removal};
pub use held_out::HeldOut;
pub use inspection::{InspectConfig, InspectedLayer, Inspection, Totals, inspect};
pub use other_layer::OtherLayer;
pub use rarefaction::{Rarefaction, RarefactionPoint};
pub use savings::Savings;
pub use weight_statistics::WeightStatistics;
