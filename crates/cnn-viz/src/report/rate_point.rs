//! The learning rate of one update.

use serde::Serialize;

/// A learning rate and where in the run it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RatePoint {
    /// How many epochs lay behind the update, parts of one included: 0 is the run's first update,
    /// 2.5 the middle of the third epoch.
    pub epochs: f64,
    /// The learning rate, of the fastest parameter group if there are several.
    pub learning_rate: f64,
}
