//! What an epoch came to.

use serde_json::{Value, json};

/// What an epoch came to: the one record that the logs are written from and that listeners get.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EpochRecord {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Updates of the run until its end.
    pub step: u64,
    /// The learning rate of its first update.
    pub learning_rate: f64,
    /// The loss and the task's named values, averaged over its training samples.
    pub train: Vec<(String, f64)>,
    /// The metrics of the evaluation behind it.
    pub val: Vec<(String, f64)>,
    /// Seconds of training and evaluation.
    pub seconds: f64,
}

impl EpochRecord {
    /// The columns of `metrics.csv` with their values: `epoch`, `lr`, `train_…`, `val_…`, `seconds`.
    pub fn row(&self) -> Vec<(String, String)> {
        let mut row = vec![
            ("epoch".to_string(), self.epoch.to_string()),
            ("lr".to_string(), self.learning_rate.to_string()),
        ];
        let values = self.values().into_iter();
        row.extend(values.map(|(name, value)| (name, value.to_string())));
        row.push(("seconds".to_string(), format!("{:.3}", self.seconds)));
        row
    }

    /// The numbers that were measured, as `train_…` and `val_…`.
    pub fn values(&self) -> Vec<(String, f64)> {
        let of = |part: &'static str, values: &'_ [(String, f64)]| -> Vec<(String, f64)> {
            let named = values
                .iter()
                .map(|(name, value)| (format!("{part}_{name}"), *value));
            named.collect()
        };
        [of("train", &self.train), of("val", &self.val)].concat()
    }

    /// One of the [`values`](Self::values).
    pub fn metric(&self, name: &str) -> Option<f64> {
        let found = self.values().into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// The line of `events.jsonl`.
    pub(crate) fn event(&self) -> Value {
        let metrics = self.values().into_iter();
        let metrics: serde_json::Map<_, _> =
            metrics.map(|(name, value)| (name, json!(value))).collect();
        json!({"event": "epoch", "epoch": self.epoch, "step": self.step, "metrics": metrics})
    }
}

/// The row to read, with four decimals.
impl std::fmt::Display for EpochRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "epoch {}", self.epoch)?;
        for (name, value) in self.values() {
            write!(f, "  {name} {value:.4}")?;
        }
        write!(f, "  seconds {:.3}", self.seconds)
    }
}
