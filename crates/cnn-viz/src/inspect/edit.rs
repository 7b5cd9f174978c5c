//! Removing filters by changing weights, not the model.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Result as CandleResult, Tensor};
use cnn_layers::Store;
use cnn_models::Network;

use super::filter_graph::FilterGraph;
use super::filter_unit::FilterUnit;
use crate::Error;

/// What stands for a filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Edit {
    /// Zeros, with a bias or a norm that gives this number before the activation.
    Constant {
        /// The number.
        before_activation: f64,
    },
    /// The weights, bias and norm of another filter of the unit.
    Copy {
        /// Its channel.
        from: usize,
    },
}

/// A filter and what stands for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Replacement {
    pub(super) unit: usize,
    pub(super) channel: usize,
    pub(super) edit: Edit,
}

/// A copy of a network whose filters can be removed and put back.
pub(super) struct EditedNetwork<'a> {
    graph: &'a FilterGraph,
    original: &'a Store,
    copy: Network,
    /// Units whose weights are not the original's.
    edited: BTreeSet<usize>,
}

impl<'a> EditedNetwork<'a> {
    pub(super) fn new(network: &'a Network, graph: &'a FilterGraph) -> Result<Self, Error> {
        let original = network.store();
        let copy = Network::with_dtype(
            *network.spec(),
            &network.config().model,
            0,
            original.dtype(),
        )?;
        let tensors = original.tensors();
        copy.store().load(
            tensors
                .iter()
                .map(|(name, tensor)| (name.as_str(), tensor.clone())),
        )?;
        Ok(Self {
            graph,
            original,
            copy,
            edited: BTreeSet::new(),
        })
    }

    /// The copy.
    pub(super) fn network(&self) -> &Network {
        &self.copy
    }

    /// Makes these replacements and takes all others back.
    pub(super) fn replace<'r>(
        &mut self,
        replacements: impl IntoIterator<Item = &'r Replacement>,
    ) -> CandleResult<()> {
        let mut by_unit: BTreeMap<usize, Vec<&Replacement>> = BTreeMap::new();
        for replacement in replacements {
            by_unit
                .entry(replacement.unit)
                .or_default()
                .push(replacement);
        }
        for &unit in self
            .edited
            .iter()
            .filter(|unit| !by_unit.contains_key(unit))
        {
            self.write(&self.graph.units[unit], &[])?;
        }
        for (&unit, replacements) in &by_unit {
            self.write(&self.graph.units[unit], replacements)?;
        }
        self.edited = by_unit.into_keys().collect();
        Ok(())
    }

    /// Writes a unit's parameters with these replacements.
    fn write(&self, unit: &FilterUnit, replacements: &[&Replacement]) -> CandleResult<()> {
        let copies = |row: &mut Rows<'_>, from: usize| row.copy_from(from);
        self.write_tensor(
            &format!("{}.weight", unit.conv),
            replacements,
            |row, edit| match edit {
                Edit::Constant { .. } => row.fill(0.),
                Edit::Copy { from } => copies(row, from),
            },
        )?;
        if unit.bias {
            self.write_tensor(
                &format!("{}.bias", unit.conv),
                replacements,
                |row, edit| match edit {
                    Edit::Constant { before_activation } => row.fill(before_activation),
                    Edit::Copy { from } => copies(row, from),
                },
            )?;
        }
        let Some(norm) = &unit.norm else {
            return Ok(());
        };
        self.write_tensor(
            &format!("{norm}.weight"),
            replacements,
            |row, edit| match edit {
                Edit::Constant { .. } => row.fill(0.),
                Edit::Copy { from } => copies(row, from),
            },
        )?;
        self.write_tensor(
            &format!("{norm}.bias"),
            replacements,
            |row, edit| match edit {
                Edit::Constant { before_activation } => row.fill(before_activation),
                Edit::Copy { from } => copies(row, from),
            },
        )?;
        for statistic in ["running_mean", "running_var"] {
            self.write_tensor(
                &format!("{norm}.{statistic}"),
                replacements,
                |row, edit| match edit {
                    Edit::Constant { .. } => {}
                    Edit::Copy { from } => copies(row, from),
                },
            )?;
        }
        Ok(())
    }

    fn write_tensor(
        &self,
        name: &str,
        replacements: &[&Replacement],
        change: impl Fn(&mut Rows<'_>, Edit),
    ) -> CandleResult<()> {
        let tensor = self.original.get(name)?;
        if replacements.is_empty() {
            return self.copy.store().set(name, &tensor);
        }
        let mut values = tensor
            .to_dtype(DType::F64)?
            .flatten_all()?
            .to_vec1::<f64>()?;
        let length = values.len() / tensor.dims()[0].max(1);
        for replacement in replacements {
            change(
                &mut Rows {
                    values: &mut values,
                    length,
                    row: replacement.channel,
                },
                replacement.edit,
            );
        }
        self.copy.store().set(
            name,
            &Tensor::from_vec(values, tensor.dims(), tensor.device())?,
        )
    }
}

/// A tensor's row for one output channel, among all rows.
struct Rows<'a> {
    values: &'a mut [f64],
    length: usize,
    row: usize,
}

impl Rows<'_> {
    fn fill(&mut self, value: f64) {
        self.values[self.row * self.length..(self.row + 1) * self.length].fill(value);
    }

    fn copy_from(&mut self, row: usize) {
        self.values.copy_within(
            row * self.length..(row + 1) * self.length,
            self.row * self.length,
        );
    }
}
