//! How much each unit matters, by criteria of several papers.

mod activation;
mod criterion;
mod fpgm;
mod importance;
mod scores;
mod taylor;
mod values;

pub use activation::ActivationScores;
pub use criterion::{Criterion, Needs};
pub use importance::{Importance, Normalization, Reduction};
pub use scores::Scores;
pub use taylor::TaylorScores;
