//! One phase of fine-tuning: which layer groups move, and how fast.

use cnn_layers::{LayerGroup, Store};
use cnn_train::{ParamGroup, decay_groups};

/// A span of epochs in which the same layers are trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// `head`, `all layers`, `from stage3`.
    pub name: String,
    /// Its epochs.
    pub epochs: usize,
    /// Every layer group, from the input to the head.
    pub groups: Vec<GroupRate>,
}

/// A layer group and its peak learning rate.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRate {
    /// The group.
    pub group: LayerGroup,
    /// `None` where it is frozen.
    pub learning_rate: Option<f64>,
    /// Whether its norms keep the running statistics that they came with.
    pub keeps_statistics: bool,
}

impl Phase {
    /// Whether the head alone is trained, so that the backbone's features stay as they are.
    pub fn is_head_only(&self) -> bool {
        self.groups
            .iter()
            .rev()
            .skip(1)
            .all(|group| group.learning_rate.is_none())
    }

    /// The largest learning rate: the trainer's, which the groups scale.
    pub fn learning_rate(&self) -> f64 {
        self.groups
            .iter()
            .filter_map(|group| group.learning_rate)
            .fold(0., f64::max)
    }

    /// Names of the groups that are trained.
    pub fn trained(&self) -> Vec<&str> {
        let trained = self
            .groups
            .iter()
            .filter(|group| group.learning_rate.is_some());
        trained.map(|group| group.group.name.as_str()).collect()
    }

    /// Whether the tensor of this name is in a group that is trained.
    pub fn trains(&self, name: &str) -> bool {
        let trains = |rate: &GroupRate| rate.learning_rate.is_some() && rate.group.contains(name);
        self.groups.iter().any(trains)
    }

    /// Whether the norm statistics of this name are in a group that keeps its own.
    pub fn keeps_statistics(&self, name: &str) -> bool {
        let keeps = |rate: &GroupRate| rate.keeps_statistics && rate.group.contains(name);
        self.groups.iter().any(keeps)
    }

    /// Freezes and unfreezes the store's parameters and statistics as this phase wants them; build
    /// the network anew after it.
    pub fn apply(&self, store: &Store) {
        store.set_trainable(false, |_| true);
        store.set_trainable(true, |name| self.trains(name));
        store.set_statistics_frozen(false, |_| true);
        store.set_statistics_frozen(true, |name| self.keeps_statistics(name));
    }

    /// The trainable parameters of the store with their rates, relative to
    /// [`Phase::learning_rate`].
    pub fn param_groups(&self, store: &Store, weight_decay: f64) -> Vec<ParamGroup> {
        let base = self.learning_rate();
        let mut groups = Vec::new();
        for GroupRate {
            group,
            learning_rate,
            ..
        } in &self.groups
        {
            let Some(rate) = learning_rate else { continue };
            let parameters = store
                .trainable()
                .into_iter()
                .filter(|(name, _)| group.contains(name))
                .collect();
            groups.extend(
                decay_groups(parameters, weight_decay)
                    .into_iter()
                    .map(|part| ParamGroup {
                        name: format!("{} {}", group.name, part.name),
                        lr_scale: rate / base,
                        ..part
                    }),
            );
        }
        groups
    }
}
