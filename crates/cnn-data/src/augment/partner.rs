//! Other images of a dataset, for transforms that put several into one.

use cnn_core::Rng;

use crate::{Dataset, Sample};

/// How often is drawn before it is done without.
const DRAWS: usize = 20;

/// An image of the dataset that is drawn until one can be read and `fits`; `None` where none of
/// some draws does.
pub(super) fn partner(
    dataset: &dyn Dataset,
    rng: &mut Rng,
    fits: impl Fn(&Sample) -> bool,
) -> Option<Sample> {
    let draw = |_| dataset.read(rng.below(dataset.len() as u64) as usize).ok();
    (0..DRAWS).filter_map(draw).find(fits)
}
