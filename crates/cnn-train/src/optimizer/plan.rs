//! An optimiser with its rates over time.

use super::{OptimizerConfig, ParamGroup};
use crate::Schedule;

/// A further optimiser of a run: what it trains, and its rates over the run's epochs.
#[derive(Debug, Clone)]
pub struct OptimizerPlan {
    /// The update rule.
    pub config: OptimizerConfig,
    /// What it trains.
    pub groups: Vec<ParamGroup>,
    /// The rate that the schedule starts from; above 0.
    pub learning_rate: f64,
    /// The rate over the epochs.
    pub schedule: Schedule,
}

impl OptimizerPlan {
    /// What must be equal for a run to go on, in words.
    pub(crate) fn described(&self) -> String {
        let Self {
            config,
            groups,
            learning_rate,
            schedule,
        } = self;
        let rule = serde_json::to_string(&(config, learning_rate, schedule));
        let rule = rule.expect("a configuration always serialises");
        format!("{rule}, {}", described(groups))
    }
}

/// Groups in words.
pub(crate) fn described(groups: &[ParamGroup]) -> String {
    let words = groups.iter().map(|group| {
        let name = &group.name;
        let count = group.parameters.len();
        format!(
            "{name} ×{} decay {} of {count}",
            group.lr_scale, group.weight_decay
        )
    });
    words.collect::<Vec<_>>().join(", ")
}
