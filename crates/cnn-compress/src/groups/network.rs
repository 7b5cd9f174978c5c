//! The groups of a network, and what is left of it without some of their units.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cnn_graph::Graph;
use cnn_layers::TensorKind;
use cnn_models::{ModelKind, NetworkOf};
use indexmap::IndexMap;

use super::axis::{Axis, Role};
use super::group::{Group, Slice, Unit};
use super::tracer::{Traced, trace};
use super::watch::{used, watch};
use crate::{Error, Selection};

/// Which channels of a network have to go together.
///
/// A convolution's output channel goes with the norm's numbers for it, with what a depthwise
/// convolution makes of it, with the weights of all that read it; and where maps are added or
/// scaled by one another, with the channels at its place in the others: that is a [`Unit`]. Units
/// that the same layers share are a [`Group`]. Channels of grouped convolutions, group norms and
/// channel shuffles go together with those at their place in the other groups, so that each
/// group loses as many. Channels of the images and of the network's outputs stay, as does what
/// layers of one's own read and give.
///
/// A norm over channels measures those that are left, so its outputs change where one is removed.
///
/// ```
/// use cnn_compress::{Groups, Role};
/// use cnn_models::{ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let groups = Groups::of(&network)?;
/// // The channels inside the first block are nobody else's.
/// let inside = groups.of_layer("layer1.0.conv1").next().unwrap();
/// assert_eq!(inside.layers, ["layer1.0.conv1"]);
/// let slices = &inside.units[3].slices;
/// let readers = slices.iter().filter(|slice| slice.axis.role == Role::Reads);
/// let readers: Vec<_> = readers.map(|slice| (&*slice.axis.tensor, slice.axis.axis, slice.range.clone())).collect();
/// assert_eq!(readers, [("layer1.0.conv2.weight", 1, 3..4)]);
/// // Those that it adds to its input are the input's, and the next blocks' too.
/// let added = groups.of_layer("layer1.0.conv2").next().unwrap();
/// assert!(added.layers.iter().any(|layer| layer == "conv1"));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Groups {
    groups: Vec<Group>,
    units: usize,
    axes: IndexMap<(String, usize), UnitsAlong>,
    /// Of each layer that decides how many channels it gives, the unit of each of them.
    widths: IndexMap<String, Vec<Option<usize>>>,
    tensors: IndexMap<String, TensorOfLayer>,
    /// How often each weight is used for an image: pixels times regions.
    uses: HashMap<String, u64>,
    graph: Graph,
}

/// The units whose channels lie along an axis.
#[derive(Debug, Clone)]
struct UnitsAlong {
    axis: Arc<Axis>,
    /// At each position; `None` where the channel stays in any case.
    units: Vec<Option<usize>>,
}

#[derive(Debug, Clone)]
struct TensorOfLayer {
    shape: Vec<usize>,
    is_learned: bool,
    /// Whether the network's main output needs it.
    is_used: bool,
}

/// How large a network is, auxiliary heads aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Output channels of all layers that can lose some.
    pub channels: usize,
    /// Learnable values.
    pub parameters: usize,
    /// Multiply-adds of convolutions and linear layers for one image.
    pub multiply_adds: u64,
}

impl Groups {
    /// The groups of a network, with the multiply-adds for images of its own size.
    ///
    /// # Errors
    /// If its graph cannot be made, as where an operation stands outside any layer.
    pub fn of<M: ModelKind + ?Sized>(network: &NetworkOf<M>) -> Result<Self, Error> {
        let record = network.preprocessing();
        Self::at_size(network, [record.height(), record.width()])
    }

    /// The groups of a network, with the multiply-adds for images of so many rows and columns.
    ///
    /// # Errors
    /// As [`Groups::of`].
    pub fn at_size<M: ModelKind + ?Sized>(
        network: &NetworkOf<M>,
        size: [usize; 2],
    ) -> Result<Self, Error> {
        Self::of_graph(watch(network, size)?)
    }

    /// The groups of any graph; its outputs, and what no layer reads, stay. If one of them is called
    /// `logits`, sizes count what that one needs.
    ///
    /// # Errors
    /// If the graph has folded layers.
    pub fn of_graph(graph: Graph) -> Result<Self, Error> {
        let mut traced = trace(&graph)?;
        let numbers = Numbers::of(&mut traced);
        let axes = std::mem::take(&mut traced.axes);
        let axes: IndexMap<_, _> = axes
            .into_iter()
            .map(|(key, along)| {
                let units = numbers.units(&mut traced, &along.channels);
                let axis = Arc::new(along.axis);
                (key, UnitsAlong { axis, units })
            })
            .collect();
        let widths = std::mem::take(&mut traced.widths);
        let widths: IndexMap<String, Vec<Option<usize>>> = widths
            .into_iter()
            .map(|(path, channels)| (path, numbers.units(&mut traced, &channels)))
            .collect();
        let mut groups = Self {
            groups: Vec::new(),
            units: numbers.count(),
            axes,
            widths,
            tensors: IndexMap::new(),
            uses: HashMap::new(),
            graph,
        };
        groups.gather();
        groups.count_tensors()?;
        Ok(groups)
    }

    /// The groups, in order of execution.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The groups that a layer's output channels belong to: none if they have to stay.
    pub fn of_layer<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Group> {
        let is_of = move |group: &&Group| group.layers.iter().any(|layer| layer == path);
        self.groups.iter().filter(is_of)
    }

    /// How many units all groups have.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The graph that they were found from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How large the network is with what a selection leaves, for images of the size that was
    /// watched: exactly what the smaller network's graph counts.
    pub fn size(&self, selection: &Selection) -> Size {
        let mut size = Size {
            channels: 0,
            parameters: 0,
            multiply_adds: 0,
        };
        for units in self.widths.values() {
            size.channels += left(units, selection);
        }
        for (name, tensor) in self.tensors.iter().filter(|(_, tensor)| tensor.is_used) {
            let along = |(axis, &whole)| match self.axes.get(&(name.clone(), axis)) {
                Some(along) => left(&along.units, selection),
                None => whole,
            };
            let values: usize = tensor.shape.iter().enumerate().map(along).product();
            if tensor.is_learned {
                size.parameters += values;
            }
            let uses = self.uses.get(name).copied().unwrap_or(0);
            size.multiply_adds += values as u64 * uses;
        }
        size
    }

    /// How many channels each layer has left that decides how many it gives and does not keep all,
    /// by its path: what [`ModelConfig::widths`](cnn_models::ModelConfig::widths) says of a network
    /// of that size.
    pub fn widths(&self, selection: &Selection) -> BTreeMap<String, usize> {
        let changed = self.widths.iter().filter_map(|(path, units)| {
            let left = left(units, selection);
            (left != units.len()).then(|| (path.clone(), left))
        });
        changed.collect()
    }

    /// How many channels a selection leaves of a layer that decides how many it gives.
    pub fn width(&self, path: &str, selection: &Selection) -> Option<usize> {
        Some(left(self.widths.get(path)?, selection))
    }

    /// The positions that a selection leaves along an axis of a tensor; `None` where no channels lie
    /// along it, or all stay.
    pub fn positions(
        &self,
        tensor: &str,
        axis: usize,
        selection: &Selection,
    ) -> Option<Vec<usize>> {
        let units = self.units_along(tensor, axis)?;
        let stays = |unit: &Option<usize>| unit.is_none_or(|unit| selection.stays(unit));
        let numbered = units.iter().enumerate();
        let positions = numbered.filter(|(_, unit)| stays(unit)).map(|(at, _)| at);
        let positions: Vec<usize> = positions.collect();
        (positions.len() < units.len()).then_some(positions)
    }

    /// The number of the unit at each position along an axis of a tensor, `None` for channels that
    /// stay; `None` where no channels lie along it.
    pub fn units_along(&self, tensor: &str, axis: usize) -> Option<&[Option<usize>]> {
        let along = self.axes.get(&(tensor.to_string(), axis))?;
        Some(&along.units)
    }

    /// All axes along which channels lie, in order of execution.
    pub fn axes(&self) -> impl Iterator<Item = &Axis> {
        self.axes.values().map(|along| &*along.axis)
    }

    /// Puts units with the same axes into one group. The units of a group then have consecutive
    /// numbers.
    fn gather(&mut self) {
        let mut signatures: Vec<Vec<usize>> = vec![Vec::new(); self.units];
        for (number, along) in self.axes.values().enumerate() {
            for unit in along.units.iter().flatten() {
                if signatures[*unit].last() != Some(&number) {
                    signatures[*unit].push(number);
                }
            }
        }
        let mut members: IndexMap<Vec<usize>, Vec<usize>> = IndexMap::new();
        for (unit, signature) in signatures.into_iter().enumerate() {
            members.entry(signature).or_default().push(unit);
        }
        let mut renumbered = vec![0; self.units];
        let order = members.values().flatten();
        for (number, &unit) in order.enumerate() {
            renumbered[unit] = number;
        }
        let axes = self.axes.values_mut().map(|along| &mut along.units);
        for units in axes.chain(self.widths.values_mut()) {
            for unit in units.iter_mut().flatten() {
                *unit = renumbered[*unit];
            }
        }
        let mut first = 0;
        for (signature, units) in members {
            let axes: Vec<Arc<Axis>> = signature
                .iter()
                .map(|&axis| self.axes[axis].axis.clone())
                .collect();
            let empty = Unit { slices: Vec::new() };
            self.groups.push(Group {
                layers: Vec::new(),
                axes,
                units: vec![empty; units.len()],
                first,
            });
            first += units.len();
        }
        self.cut();
    }

    /// Gives each unit its slices and each group its layers.
    fn cut(&mut self) {
        let mut owners = Vec::with_capacity(self.units);
        for (number, group) in self.groups.iter().enumerate() {
            owners.extend(std::iter::repeat_n(number, group.units.len()));
        }
        for along in self.axes.values() {
            for (at, unit) in along.units.iter().enumerate() {
                let Some(unit) = *unit else { continue };
                let group = &mut self.groups[owners[unit]];
                let slices = &mut group.units[unit - group.first].slices;
                match slices.last_mut() {
                    Some(last) if Arc::ptr_eq(&last.axis, &along.axis) && last.range.end == at => {
                        last.range.end += 1;
                    }
                    _ => slices.push(Slice {
                        axis: along.axis.clone(),
                        range: at..at + 1,
                    }),
                }
            }
        }
        for (path, units) in &self.widths {
            for unit in units.iter().flatten() {
                let layers = &mut self.groups[owners[*unit]].layers;
                if layers.last() != Some(path) {
                    layers.push(path.clone());
                }
            }
        }
    }

    fn count_tensors(&mut self) -> Result<(), cnn_graph::Error> {
        let is_used = used(&self.graph);
        for (node, is_used) in self.graph.nodes().iter().zip(is_used) {
            let Ok(tensors) = node.tensors() else {
                continue;
            };
            let Some(weight) = tensors.first().map(|tensor| tensor.name.clone()) else {
                continue;
            };
            let values: usize = tensors[0].shape.iter().product();
            let multiply_adds = node.multiply_adds()?;
            if is_used && values > 0 {
                *self.uses.entry(weight).or_default() += multiply_adds / values as u64;
            }
            for tensor in tensors {
                let entry = self.tensors.entry(tensor.name);
                let known = entry.or_insert(TensorOfLayer {
                    shape: tensor.shape,
                    is_learned: tensor.kind == TensorKind::Parameter,
                    is_used,
                });
                known.is_used |= is_used;
            }
        }
        Ok(())
    }
}

/// How many positions a selection leaves.
fn left(units: &[Option<usize>], selection: &Selection) -> usize {
    let stays = |unit: &&Option<usize>| unit.is_none_or(|unit| selection.stays(unit));
    units.iter().filter(stays).count()
}

/// The numbers of units, by the channel that stands for each.
struct Numbers(HashMap<usize, usize>);

impl Numbers {
    /// Channels that a weight gives are units; those that nothing gives have nothing to lose.
    fn of(traced: &mut Traced) -> Self {
        let mut numbers = HashMap::new();
        let Traced { channels, axes, .. } = traced;
        for along in axes.values() {
            if along.axis.role != Role::Gives {
                continue;
            }
            for &channel in &along.channels {
                let root = channels.root(channel);
                if !channels.is_fixed(root) {
                    let next = numbers.len();
                    numbers.entry(root).or_insert(next);
                }
            }
        }
        Self(numbers)
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn units(&self, traced: &mut Traced, channels: &[usize]) -> Vec<Option<usize>> {
        let unit = |&channel: &usize| self.0.get(&traced.channels.root(channel)).copied();
        channels.iter().map(unit).collect()
    }
}
