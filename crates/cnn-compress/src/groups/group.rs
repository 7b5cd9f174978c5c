//! Channels that have to go together.

use std::ops::Range;
use std::sync::Arc;

use super::axis::{Axis, Role};

/// Layers that share channels, and those channels one by one: any of them can be removed without
/// the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Paths of the layers that decide how many channels there are, in order of execution:
    /// convolutions, linear layers, and slices of maps.
    pub layers: Vec<String>,
    /// The axes along which the channels lie, in order of execution.
    pub axes: Vec<Arc<Axis>>,
    /// What can be removed.
    pub units: Vec<Unit>,
    /// The number of its first unit among those of all groups.
    pub first: usize,
}

/// Channels that go together: all that a network loses with one output channel of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// The parts of the store's tensors that belong to it.
    pub slices: Vec<Slice>,
}

/// Neighbouring positions along an axis of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The axis.
    pub axis: Arc<Axis>,
    /// The positions along it.
    pub range: Range<usize>,
}

impl Group {
    /// The numbers of its units among those of all groups.
    pub fn numbers(&self) -> Range<usize> {
        self.first..self.first + self.units.len()
    }

    /// The most channels that one of its units has in one layer: 1 but where layers have groups of
    /// channels or pixels stand for channels.
    pub fn channels_per_unit(&self) -> usize {
        let given = |unit: &Unit| {
            let mut most = 1;
            for axis in &self.axes {
                let is_of_axis = |slice: &&Slice| slice.axis == *axis;
                let gives = matches!(axis.role, Role::Gives | Role::Filters);
                let slices = unit.slices.iter().filter(is_of_axis);
                let count: usize = slices.map(|slice| slice.range.len()).sum();
                if gives && axis.axis == 0 {
                    most = most.max(count);
                }
            }
            most
        };
        self.units.iter().map(given).max().unwrap_or(1)
    }
}
