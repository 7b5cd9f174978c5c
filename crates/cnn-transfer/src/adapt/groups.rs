//! Which optimiser trains which parameters, and how fast.

use cnn_layers::Store;
use cnn_models::Network;
use cnn_train::{ParamGroup, decay_groups};

use super::AdaptationConfig;
use super::methods::{Learning, Recipe};
use super::task::BOTTLENECK;

/// The parameters of a network, and those beside it.
pub(super) struct Groups {
    network: Store,
    /// Where the names of the classes' weights begin.
    head: String,
    is_bottlenecked: bool,
    /// The first optimiser's, beside the network.
    beside: Option<Store>,
    /// A second optimiser's.
    alternating: Option<Store>,
    /// Whether the second one trains the head.
    alternating_head: bool,
    has_own_rate: bool,
}

impl Groups {
    /// Freezes what a method does not train.
    pub(super) fn freeze_rest(network: &Network, recipe: &Recipe) -> Self {
        let store = network.store().clone();
        let is_bottlenecked = network.spec().name == BOTTLENECK;
        let head = format!("{}.", network.spec().classifier);
        store.set_trainable(true, |_| true);
        match recipe.learning {
            Learning::Whole => {}
            Learning::Features => {
                store.set_trainable(false, |name| name.starts_with(&head));
            }
            Learning::NormScales => {
                let names = store.names();
                let norms = names
                    .iter()
                    .filter_map(|name| name.strip_suffix("running_mean"));
                let norms: Vec<&str> = norms.collect();
                store.set_trainable(false, |name| {
                    let place = name.rfind('.').map_or("", |dot| &name[..=dot]);
                    !norms.contains(&place)
                });
            }
        }
        let alternating = recipe.alternating.as_ref();
        Self {
            network: store,
            head,
            is_bottlenecked,
            beside: recipe.beside.clone(),
            alternating: alternating.map(|alternating| alternating.store.clone()),
            alternating_head: alternating.is_some_and(|alternating| alternating.with_head),
            has_own_rate: recipe.optimizer.is_some(),
        }
    }

    /// Those of the first optimiser: the backbone's, slower, those behind it, and those beside.
    pub(super) fn main(&self, config: &AdaptationConfig) -> Vec<ParamGroup> {
        let scale = if self.has_own_rate {
            1.
        } else {
            config.backbone_scale
        };
        let in_backbone = |name: &str| self.in_backbone(name);
        let behind = |name: &str| !self.in_backbone(name) && !self.is_elsewhere(name);
        let decay = config.weight_decay;
        let mut groups = of("backbone", &self.network, &in_backbone, scale, decay);
        groups.extend(of("head", &self.network, &behind, 1., decay));
        if let Some(beside) = &self.beside {
            groups.extend(of("transfer", beside, &|_| true, 1., decay));
        }
        groups
    }

    /// Those of the second one.
    pub(super) fn alternating(&self, config: &AdaptationConfig) -> Vec<ParamGroup> {
        let decay = config.weight_decay;
        let head = |name: &str| self.is_elsewhere(name);
        let mut groups = of("head", &self.network, &head, 1., decay);
        if let Some(store) = &self.alternating {
            groups.extend(of("transfer", store, &|_| true, 1., decay));
        }
        groups
    }

    fn in_backbone(&self, name: &str) -> bool {
        if self.is_bottlenecked {
            name.starts_with("backbone.")
        } else {
            !name.starts_with(&self.head)
        }
    }

    /// Whether the second optimiser trains it.
    fn is_elsewhere(&self, name: &str) -> bool {
        self.alternating_head && name.starts_with(&self.head)
    }
}

/// The trainable parameters of a store that are wanted.
fn of(
    name: &str,
    store: &Store,
    wanted: &dyn Fn(&str) -> bool,
    lr_scale: f64,
    weight_decay: f64,
) -> Vec<ParamGroup> {
    let parameters = store.trainable().into_iter();
    let parameters = parameters.filter(|(name, _)| wanted(name)).collect();
    let groups = decay_groups(parameters, weight_decay).into_iter();
    let renamed = groups.map(|group| ParamGroup {
        name: format!("{name} {}", group.name),
        lr_scale,
        ..group
    });
    renamed.collect()
}
