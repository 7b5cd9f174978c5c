//! The criteria, and the scores of those that need the weights alone.

use cnn_core::Key;
use cnn_layers::Store;

use super::fpgm::distances;
use super::importance::{Normalization, Reduction};
use super::scores::Scores;
use super::values::Values;
use crate::{Axis, Error, Groups, Role};

/// What tells how much a unit matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Criterion {
    /// A number drawn for each unit: what every other criterion has to beat.
    Random {
        /// Decides the numbers.
        seed: u64,
    },
    /// The sum of the absolute weights (Li et al. 2016, "Pruning Filters for Efficient ConvNets").
    L1,
    /// The sum of the squared weights.
    L2,
    /// The absolute scale of batch norms (Liu et al. 2017, "Network Slimming").
    NormScale,
    /// The distances to the other filters of the layer: what is close to many can be replaced by
    /// them (He et al. 2019, "Filter Pruning via Geometric Median", equation 4).
    Fpgm,
    /// The squared weights as a share of those of all units of the group that have as many or more
    /// (Lee et al. 2021, "Layer-Adaptive Sparsity for the Magnitude-Based Pruning", equation 4):
    /// comparable between layers.
    Lamp,
    /// The squared change of the loss that the gradients foretell (Molchanov et al. 2019,
    /// "Importance Estimation for Neural Network Pruning", equation 8); see
    /// [`TaylorScores`](super::TaylorScores).
    Taylor,
    /// The mean absolute value that the readers of a channel see; see
    /// [`ActivationScores`](super::ActivationScores).
    Activation,
}

/// What a criterion looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The weights: [`Criterion::scores`].
    Weights,
    /// Images: [`ActivationScores`](super::ActivationScores).
    Images,
    /// Gradients of a loss: [`TaylorScores`](super::TaylorScores).
    Gradients,
}

impl Criterion {
    /// Every criterion; the random one with seed 0.
    pub const ALL: [Self; 8] = [
        Self::Random { seed: 0 },
        Self::L1,
        Self::L2,
        Self::NormScale,
        Self::Fpgm,
        Self::Lamp,
        Self::Taylor,
        Self::Activation,
    ];

    /// Its name, as `taylor`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random { .. } => "random",
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::NormScale => "norm_scale",
            Self::Fpgm => "fpgm",
            Self::Lamp => "lamp",
            Self::Taylor => "taylor",
            Self::Activation => "activation",
        }
    }

    /// What it looks at.
    pub fn needs(self) -> Needs {
        match self {
            Self::Taylor => Needs::Gradients,
            Self::Activation => Needs::Images,
            _ => Needs::Weights,
        }
    }

    /// The scores of all units, of a criterion that looks at the weights alone.
    ///
    /// # Errors
    /// [`Error::NeedsMore`] for the others; if a tensor is missing.
    pub fn scores(self, groups: &Groups, store: &Store) -> Result<Scores, Error> {
        let with_weights = |role| matches!(role, Role::Gives | Role::Reads | Role::Filters);
        let with_scales = |role| with_weights(role) || role == Role::Scales;
        let of_values = |power: fn(f64) -> f64| {
            move |values: &Values, axis: usize| Ok(values.sums_along(axis, power))
        };
        match self {
            Self::Random { seed } => Ok(random(groups, seed)),
            Self::L1 => collected(
                groups,
                store,
                |axis| with_scales(axis.role),
                of_values(f64::abs),
            ),
            Self::L2 => collected(
                groups,
                store,
                |axis| with_scales(axis.role),
                of_values(squared),
            ),
            Self::Lamp => {
                let scores = collected(
                    groups,
                    store,
                    |axis| with_scales(axis.role),
                    of_values(squared),
                );
                Ok(scores?.with_normalization(Normalization::Lamp))
            }
            Self::NormScale => {
                let graph = groups.graph();
                let is_norm = |axis: &Axis| {
                    let mut nodes = graph.nodes().iter();
                    let is_batch_norm =
                        |kind| matches!(kind, cnn_layers::LayerKind::BatchNorm { .. });
                    axis.role == Role::Scales
                        && nodes.any(|node| node.path == axis.layer && is_batch_norm(node.kind))
                };
                collected(groups, store, is_norm, of_values(f64::abs))
            }
            Self::Fpgm => {
                let makes = |axis: &Axis| matches!(axis.role, Role::Gives | Role::Filters);
                collected(groups, store, makes, distances)
            }
            Self::Taylor | Self::Activation => Err(Error::NeedsMore {
                criterion: self.name(),
                needs: match self.needs() {
                    Needs::Gradients => "the gradients of a loss",
                    _ => "images",
                },
            }),
        }
    }
}

fn squared(value: f64) -> f64 {
    value * value
}

/// The scores of all axes that are `wanted`, each from the values of its tensor.
fn collected(
    groups: &Groups,
    store: &Store,
    wanted: impl Fn(&Axis) -> bool,
    score: impl Fn(&Values, usize) -> Result<Vec<f64>, candle_core::Error>,
) -> Result<Scores, Error> {
    let mut scores = Scores::new(groups);
    for axis in groups.axes().filter(|axis| wanted(axis)) {
        let units = groups.units_along(&axis.tensor, axis.axis).unwrap_or(&[]);
        if units.iter().all(Option::is_none) {
            continue;
        }
        let values = Values::of(&store.get(&axis.tensor)?)?;
        let of_positions = score(&values, axis.axis)?;
        scores.add_positions(units, &of_positions);
    }
    Ok(scores)
}

/// A number from 0 to 1 for each unit, drawn for its group's first layer.
fn random(groups: &Groups, seed: u64) -> Scores {
    let mut scores = Scores::new(groups).with_normalization(Normalization::None);
    for group in groups.groups() {
        let name = group.layers.first().map_or("", String::as_str);
        let key = Key::new(seed).stream("prune").stream(name);
        let mut rng = key.stream(&group.first.to_string()).rng();
        let mut drawn = vec![0.; group.units.len()];
        rng.fill_uniform(&mut drawn, 0., 1.);
        scores.add_units(
            group
                .numbers()
                .zip(drawn.iter().map(|&drawn| f64::from(drawn))),
        );
    }
    scores.with_reduction(Reduction::Sum)
}
