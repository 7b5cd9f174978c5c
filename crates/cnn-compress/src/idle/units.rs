//! Which units do nothing, and which of those have to stay.

use std::collections::BTreeMap;

use candle_core::Tensor;
use cnn_graph::Node;
use cnn_layers::{LayerKind, Store};
use cnn_models::{ModelKind, NetworkOf};

use super::constants::{KnownConstant, Weight, constants, inputs};
use super::fold::Folding;
use crate::removal::resized;
use crate::{Error, Groups, Role, Selection};

/// The units of a network that do nothing: every layer that reads one of their channels reads the
/// same number for every pixel of every image.
///
/// Where that number is 0, the unit can go as it is. Else what it adds to its readers goes into
/// their biases, or into the means that the batch norm behind them subtracts. That is exact but for
/// rounding, and only where the reader sees nothing but the number: a padded convolution sees zeros
/// beside it at the border. What has to stay therefore is in [`kept`](Self::kept).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_compress::{Groups, IdleUnits, largest_change};
/// use cnn_layers::FeatureMap;
/// use cnn_models::{ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// // A norm that switches two filters off.
/// let mut scale = vec![1f32; 16];
/// (scale[3], scale[9]) = (0., 0.);
/// network.store().set("layer1.0.bn1.weight", &Tensor::new(scale, &Device::Cpu)?)?;
///
/// let groups = Groups::of(&network)?;
/// let idle = IdleUnits::find(&groups, network.store(), &[])?;
/// assert_eq!(idle.selection().removed().count(), 2);
/// let smaller = idle.without(&network, &groups)?;
/// let images = FeatureMap::from_nchw(&Tensor::randn(0f32, 1., (2, 3, 32, 32), &Device::Cpu)?)?;
/// assert!(largest_change(&network, &smaller, &images)? < 1e-5);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug)]
pub struct IdleUnits {
    selection: Selection,
    kept: Vec<KeptUnit>,
    folded: Vec<(String, Tensor)>,
}

/// A unit that does nothing and stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptUnit {
    /// Its number among those of all groups.
    pub unit: usize,
    /// Path of the layer that needs it.
    pub layer: String,
    /// Why.
    pub reason: IdleReason,
}

/// Why a unit stays although it does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdleReason {
    /// Its constant is not 0, and a padded convolution reads zeros beside it at the border.
    Padded,
    /// Its constant is not 0, and the layer that reads it has neither a bias nor a batch norm behind
    /// it alone, or works more than once.
    NoBias,
    /// A norm over channels measures it.
    Measured,
    /// Its group has no other unit.
    LastOfGroup,
}

impl IdleUnits {
    /// Finds them by what the weights say, and what is known beside: constants that a search on
    /// images found.
    ///
    /// # Errors
    /// If a tensor is missing.
    pub fn find(groups: &Groups, store: &Store, known: &[KnownConstant]) -> Result<Self, Error> {
        let graph = groups.graph();
        let found = constants(graph, store, known)?;
        let mut search = Search {
            groups,
            verdicts: vec![Verdict::Idle; groups.units()],
        };
        for (number, node) in graph.nodes().iter().enumerate() {
            let xs = inputs(graph, node, &found);
            search.judge(number, node, xs.first().map_or(&[], Vec::as_slice), store)?;
        }
        search.keep_one_of_each();
        let mut selection = Selection::all(groups);
        let mut kept = Vec::new();
        for (unit, verdict) in search.verdicts.into_iter().enumerate() {
            match verdict {
                Verdict::Idle => selection.remove(unit),
                Verdict::Active => (),
                Verdict::Kept { layer, reason } => kept.push(KeptUnit {
                    unit,
                    layer,
                    reason,
                }),
            }
        }
        let folded = Folding {
            groups,
            store,
            selection: &selection,
        };
        let folded = folded.tensors(&found)?;
        Ok(Self {
            selection,
            kept,
            folded,
        })
    }

    /// What stays when they go.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Those that do nothing and stay.
    pub fn kept(&self) -> &[KeptUnit] {
        &self.kept
    }

    /// The network without them, which computes the same: [`largest_change`](crate::largest_change)
    /// proves it on images.
    ///
    /// # Errors
    /// As [`without`](crate::without).
    pub fn without<M: ModelKind + ?Sized>(
        &self,
        network: &NetworkOf<M>,
        groups: &Groups,
    ) -> Result<NetworkOf<M>, Error> {
        let folded: BTreeMap<&str, &Tensor> = self
            .folded
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
            .collect();
        let tensors = network.store().tensors().into_iter();
        let tensors = tensors.map(|(name, tensor)| {
            let folded = folded.get(name.as_str());
            let tensor = folded.map_or(tensor, |&folded| folded.clone());
            (name, tensor)
        });
        resized(network, groups, &self.selection, tensors.collect())
    }
}

#[derive(Debug, Clone)]
enum Verdict {
    Idle,
    Active,
    Kept { layer: String, reason: IdleReason },
}

struct Search<'a> {
    groups: &'a Groups,
    /// Of each unit.
    verdicts: Vec<Verdict>,
}

impl Search<'_> {
    /// Whether what a node reads lets the units go that it reads.
    fn judge(
        &mut self,
        number: usize,
        node: &Node,
        xs: &[Option<f64>],
        store: &Store,
    ) -> Result<(), Error> {
        match node.kind {
            LayerKind::Conv2d { .. }
            | LayerKind::ConvTranspose2d { .. }
            | LayerKind::Linear { .. } => self.judge_weight(number, node, xs, store),
            LayerKind::LayerNorm { .. } | LayerKind::GroupNorm { .. } => {
                for unit in self.units_of_norm(&format!("{}.weight", node.path)) {
                    self.keep(unit, node, IdleReason::Measured);
                }
                Ok(())
            }
            LayerKind::L2Norm { .. } => {
                let units = self.units_of_norm(&node.path);
                for (unit, x) in units.into_iter().zip(xs) {
                    if *x != Some(0.) {
                        self.keep(unit, node, IdleReason::Measured);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn judge_weight(
        &mut self,
        number: usize,
        node: &Node,
        xs: &[Option<f64>],
        store: &Store,
    ) -> Result<(), Error> {
        let Some((units, reads)) = units_read(self.groups, node) else {
            return Ok(());
        };
        if units.iter().all(Option::is_none) {
            return Ok(());
        }
        let weight = Weight::of(node, store)?;
        let can_fold = Folding::place(self.groups, number).is_some();
        for output in 0..weight.outputs() {
            for input in weight.inputs_of(output) {
                let Some(unit) = units[input % units.len()] else {
                    continue;
                };
                match (weight.contribution(output, input, xs), xs[input]) {
                    (None, Some(_)) => self.keep(Some(unit), node, IdleReason::Padded),
                    (None, None) if reads => self.verdict_active(unit),
                    (Some(added), _) if reads && added != 0. && !can_fold => {
                        self.keep(Some(unit), node, IdleReason::NoBias);
                    }
                    _ => (),
                }
            }
        }
        Ok(())
    }

    fn units_of_norm(&self, tensor: &str) -> Vec<Option<usize>> {
        let units = self.groups.units_along(tensor, 0);
        units.map_or_else(Vec::new, <[_]>::to_vec)
    }

    fn keep(&mut self, unit: Option<usize>, node: &Node, reason: IdleReason) {
        let Some(unit) = unit else { return };
        if matches!(self.verdicts[unit], Verdict::Idle) {
            self.verdicts[unit] = Verdict::Kept {
                layer: node.path.clone(),
                reason,
            };
        }
    }

    /// A unit that somebody reads: whatever else is said of it is of no account, unless a border is
    /// what made it so.
    fn verdict_active(&mut self, unit: usize) {
        let is_of_border = matches!(
            self.verdicts[unit],
            Verdict::Kept {
                reason: IdleReason::Padded,
                ..
            }
        );
        if !is_of_border {
            self.verdicts[unit] = Verdict::Active;
        }
    }

    fn keep_one_of_each(&mut self) {
        for group in self.groups.groups() {
            let is_idle = |unit: usize| matches!(self.verdicts[unit], Verdict::Idle);
            let Some(last) = group.numbers().last() else {
                continue;
            };
            if group.numbers().all(is_idle) {
                self.verdicts[last] = Verdict::Kept {
                    layer: group.layers.first().cloned().unwrap_or_default(),
                    reason: IdleReason::LastOfGroup,
                };
            }
        }
    }
}

/// The units along the inputs of a layer with a weight, and whether it mixes them: a depthwise
/// convolution only filters each.
pub(super) fn units_read<'a>(
    groups: &'a Groups,
    node: &Node,
) -> Option<(&'a [Option<usize>], bool)> {
    let weight = format!("{}.weight", node.path);
    let mut axes = groups.axes().filter(|axis| axis.tensor == weight);
    let axis = axes.find(|axis| matches!(axis.role, Role::Reads | Role::Filters))?;
    let units = groups.units_along(&weight, axis.axis)?;
    Some((units, axis.role == Role::Reads))
}
