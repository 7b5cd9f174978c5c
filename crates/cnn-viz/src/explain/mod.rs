//! Which parts of an image a score rests on.

mod attribution;
mod cam;
mod explained;
mod explainer;
mod explanation;
mod feature_maps;
mod method;
mod objects;
mod place;
mod subject;
mod target;

pub use cam::Smoothing;
pub use explained::{Explainable, Explained};
pub use explainer::Explainer;
pub use explanation::Explanation;
pub use feature_maps::feature_maps;
pub use method::Method;
pub use place::Place;
pub use target::{Region, Score, Target};
