//! What a method asks of a run.

use cnn_layers::Store;
use cnn_models::Network;
use cnn_train::{OptimizerConfig, Step};

use super::super::task::{AdaptationTask, Reads};
use super::super::{AdaptationConfig, FourierStyle};

/// What a method is built for.
pub(in super::super) struct Setting<'a> {
    pub(in super::super) network: &'a Network,
    /// Features behind the bottleneck.
    pub(in super::super) features: usize,
    pub(in super::super) classes: usize,
    /// How much the method's loss counts.
    pub(in super::super) trade_off: f64,
    pub(in super::super) seed: u64,
}

/// What a method asks of a run.
pub(in super::super) struct Recipe {
    /// How an update is made.
    pub(in super::super) step: Box<dyn Step<AdaptationTask>>,
    pub(in super::super) reads: Reads,
    /// What of the network learns.
    pub(in super::super) learning: Learning,
    /// What is trained beside the network by the same optimiser.
    pub(in super::super) beside: Option<Store>,
    /// What a second optimiser trains, in alternation.
    pub(in super::super) alternating: Option<Alternating>,
    /// Whether batch-norm has statistics of each domain.
    pub(in super::super) separate_statistics: bool,
    pub(in super::super) source_style: Option<FourierStyle>,
    /// The decay of a moving average of the weights, which is then evaluated.
    pub(in super::super) average: Option<f64>,
    /// How fast the network learns, relative to others.
    pub(in super::super) rate: f64,
    /// The update rule and its rate, where they are the method's own.
    pub(in super::super) optimizer: Option<OwnOptimizer>,
    /// The length of the run, where it is the method's own.
    pub(in super::super) length: Option<Length>,
}

/// A part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Learning {
    Whole,
    /// All but what makes scores of features.
    Features,
    /// Scales and shifts of batch-norm.
    NormScales,
}

/// What a second optimiser trains.
pub(in super::super) struct Alternating {
    /// Its name.
    pub(in super::super) name: &'static str,
    /// Parameters beside the network.
    pub(in super::super) store: Store,
    /// Whether it trains the network's head, too, which the first optimiser then does not.
    pub(in super::super) with_head: bool,
}

/// An update rule with its learning rate.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct OwnOptimizer {
    pub(in super::super) rule: OptimizerConfig,
    pub(in super::super) learning_rate: f64,
}

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Length {
    /// One pass over the target.
    OnePass,
    /// One epoch of so many updates.
    Updates(usize),
}

impl Length {
    /// The configuration of a run of this length over so many images of the target.
    pub(in super::super) fn applied(
        self,
        config: AdaptationConfig,
        images: usize,
    ) -> AdaptationConfig {
        let updates = match self {
            Self::OnePass => (images / config.batch_size).max(1),
            Self::Updates(updates) => updates,
        };
        AdaptationConfig {
            epochs: 1,
            updates: Some(updates),
            ..config
        }
    }
}

impl Recipe {
    /// A method that does this in an update, and is usual in all else.
    pub(in super::super) fn new(step: impl Step<AdaptationTask> + 'static, reads: Reads) -> Self {
        Self {
            step: Box::new(step),
            reads,
            learning: Learning::Whole,
            beside: None,
            alternating: None,
            separate_statistics: false,
            source_style: None,
            average: None,
            rate: 1.,
            optimizer: None,
            length: None,
        }
    }
}
