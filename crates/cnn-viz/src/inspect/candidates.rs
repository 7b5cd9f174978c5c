//! Filters that look as if they did nothing.

use candle_core::{DType, Result};
use cnn_layers::{Activation, LayerKind, Store};

use super::channel_sums::{ChannelStatistics, ChannelSums};
use super::edit::{Edit, Replacement};
use super::filter_graph::FilterGraph;
use super::filter_unit::{FilterUnit, UnitActivation};
use super::finding::{FilterKind, Removal};

/// A filter whose output varies by less than this share of its layer's largest value may be
/// constant.
const NEGLIGIBLE_RANGE: f64 = 1e-4;
/// A norm's scale below this share of its layer's largest is near zero.
const NEGLIGIBLE_SCALE: f64 = 1e-2;
/// Filters that differ by less than this share of their size may be the same.
const SAME: f64 = 1e-4;

/// A filter that may be removed.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) kind: FilterKind,
    pub(super) removal: Removal,
    pub(super) replacement: Replacement,
    /// Whether the output was the same number for every pixel of every image, so that nothing
    /// changes.
    pub(super) exact: bool,
    /// How much the output changes, relative to the layer's largest value.
    pub(super) risk: f64,
}

/// The filters of all units that look as if they did nothing, unit by unit; a filter appears once.
pub(super) fn candidates(
    graph: &FilterGraph,
    sums: &[Option<ChannelSums>],
    store: &Store,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    // Weights that work in several places cannot be changed for one of them.
    for (number, unit) in graph
        .units
        .iter()
        .enumerate()
        .filter(|(_, unit)| !unit.shared)
    {
        let [Some(before), Some(after)] = unit.nodes.map(|node| sums[node].as_ref()) else {
            continue;
        };
        let scales = match &unit.norm {
            Some(norm) => Some(
                store
                    .get(&format!("{norm}.weight"))?
                    .to_dtype(DType::F64)?
                    .to_vec1()?,
            ),
            None => None,
        };
        let statistics = after.statistics();
        let look = Look {
            number,
            unit,
            before,
            after,
            statistics,
            scales,
            largest: after.largest(),
        };
        let mut single: Vec<Option<Candidate>> = (0..unit.channels)
            .map(|channel| look.single(channel))
            .collect();
        for channel in 0..unit.channels {
            single[channel] = single[channel]
                .take()
                .or_else(|| look.duplicate(channel, &single));
        }
        found.extend(single.into_iter().flatten());
    }
    Ok(found)
}

/// One unit and what was measured of it.
struct Look<'a> {
    number: usize,
    unit: &'a FilterUnit,
    /// Before the activation.
    before: &'a ChannelSums,
    after: &'a ChannelSums,
    statistics: Vec<ChannelStatistics>,
    scales: Option<Vec<f64>>,
    /// The largest value that the unit gave.
    largest: f64,
}

impl Look<'_> {
    /// A filter that does nothing by itself.
    fn single(&self, channel: usize) -> Option<Candidate> {
        let found = self.statistics[channel];
        let exact = found.is_constant();
        let range = found.max - found.min;
        let value = if exact { found.max } else { found.mean };
        let kind = match () {
            () if exact && value == 0. => FilterKind::NeverActive,
            () if exact || range <= NEGLIGIBLE_RANGE * self.largest => FilterKind::Constant,
            () if self.is_near_zero_scale(channel) => FilterKind::NearZeroScale,
            () => return None,
        };
        let edit = Edit::Constant {
            before_activation: self.before_activation(channel, value, exact)?,
        };
        let removal = if kind == FilterKind::NeverActive {
            Removal::Drop
        } else {
            Removal::Fold { value }
        };
        let risk = if exact {
            0.
        } else {
            found.variance.sqrt() / self.largest
        };
        (value.is_finite() && !risk.is_nan())
            .then(|| self.candidate(channel, kind, removal, edit, exact, risk))
    }

    /// A filter that gives what another filter before it gives.
    fn duplicate(&self, channel: usize, found: &[Option<Candidate>]) -> Option<Candidate> {
        // Filters of different groups read different channels: the same weights would not make them
        // the same.
        let group = (self.unit.channels / self.unit.groups).max(1);
        let others = (channel / group * group..channel).filter(|&other| found[other].is_none());
        let mut distances = others.map(|other| (other, self.distance(channel, other)));
        let (into, risk) = distances.find(|&(_, distance)| distance <= SAME)?;
        let removal = Removal::Merge { into };
        let edit = Edit::Copy { from: into };
        Some(self.candidate(channel, FilterKind::Duplicate, removal, edit, false, risk))
    }

    fn candidate(
        &self,
        channel: usize,
        kind: FilterKind,
        removal: Removal,
        edit: Edit,
        exact: bool,
        risk: f64,
    ) -> Candidate {
        let replacement = Replacement {
            unit: self.number,
            channel,
            edit,
        };
        Candidate {
            kind,
            removal,
            replacement,
            exact,
            risk,
        }
    }

    fn is_near_zero_scale(&self, channel: usize) -> bool {
        let Some(scales) = &self.scales else {
            return false;
        };
        let largest = scales.iter().map(|scale| scale.abs()).fold(0., f64::max);
        scales[channel].abs() <= NEGLIGIBLE_SCALE * largest
    }

    /// What has to come before the activation for `value` behind it; `None` where the unit's
    /// parameters cannot give that.
    fn before_activation(&self, channel: usize, value: f64, exact: bool) -> Option<f64> {
        let min = self.before.min[channel];
        let max = self.before.max[channel];
        let activation = match &self.unit.activation {
            Some(UnitActivation {
                kind: LayerKind::Activation(activation),
                ..
            }) => *activation,
            _ => Activation::Identity,
        };
        let before = match activation {
            Activation::Identity => value,
            Activation::Relu | Activation::Relu6 | Activation::LeakyRelu(_) if value >= 0. => value,
            Activation::Silu
            | Activation::HardSwish
            | Activation::Tanh
            | Activation::Gelu
            | Activation::GeluTanh
                if value == 0. =>
            {
                0.
            }
            _ if min == max || !exact => f64::midpoint(min, max),
            _ => return None,
        };
        // Without a bias or a norm a filter of zeros gives 0.
        let attainable = before == 0. || self.unit.bias || self.unit.norm.is_some();
        (attainable && before.is_finite()).then_some(before)
    }

    /// How far two filters' outputs are apart, relative to their size: unrelated ones by something
    /// like 1.
    fn distance(&self, one: usize, other: usize) -> f64 {
        let size = self.after.squares[one]
            .max(self.after.squares[other])
            .sqrt();
        let projections = self
            .after
            .projections
            .iter()
            .map(|sums| (sums[one] - sums[other]).abs() / size);
        let ends = [&self.after.min, &self.after.max]
            .map(|ends| (ends[one] - ends[other]).abs() / self.largest);
        // A sum, not a maximum: it is NaN, and no duplicate is found, where one of them is.
        projections.chain(ends).sum()
    }
}
