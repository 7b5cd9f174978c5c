//! Where the time went.

use serde::Serialize;

/// How long a part of the run took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Timing {
    /// The part: "features of the backbone", "head", "evaluation".
    pub name: String,
    /// Its duration in seconds.
    pub seconds: f64,
    /// Images per second, for parts that go through images.
    pub images_per_second: Option<f64>,
}
