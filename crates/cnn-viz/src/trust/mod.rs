//! Whether a map can be believed: does the score follow the pixels that it names, and does the map
//! follow the weights?

mod checks;
mod insertion_deletion;
mod randomization;
mod rank_correlation;
mod road;
mod verdict;

pub use checks::{Trust, TrustChecks};
pub use insertion_deletion::{InsertionDeletion, insertion_deletion};
pub use randomization::{cascade, randomized};
pub use rank_correlation::rank_correlation;
pub use road::{Road, road};
pub use verdict::{TrustCheck, TrustVerdict};

use candle_core::Tensor;
use cnn_layers::FeatureMap;

use crate::{Error, Explained, Score};

/// The probability of a score's class for each of a number of images, `batch_size` at a time; `make`
/// gives the values `(H, W, C)` of one.
fn probabilities(
    model: Explained<'_>,
    like: &Tensor,
    score: &Score,
    count: usize,
    batch_size: usize,
    mut make: impl FnMut(usize) -> Result<Vec<f32>, Error>,
) -> Result<Vec<f64>, Error> {
    let (_, height, width, channels) = like.dims4()?;
    let mut found = Vec::with_capacity(count);
    let numbers: Vec<usize> = (0..count).collect();
    for batch in numbers.chunks(batch_size.max(1)) {
        let mut images = Vec::with_capacity(batch.len() * height * width * channels);
        for &number in batch {
            images.extend(make(number)?);
        }
        let images = Tensor::from_vec(
            images,
            (batch.len(), height, width, channels),
            like.device(),
        )?;
        let images = FeatureMap::from_nhwc(&images.to_dtype(like.dtype())?)?;
        found.extend(model.probabilities(&images, score)?);
    }
    Ok(found)
}

/// Checks that a class exists and that a map belongs to the only image of a batch, and gives the
/// image's values.
fn values_of_one(
    model: Explained<'_>,
    image: &FeatureMap,
    map: &crate::Heatmap,
    score: &Score,
) -> Result<Vec<f32>, Error> {
    let [count, height, width, _] = image.dims();
    if [count, height, width] != [1, map.height(), map.width()] {
        let found = format!(
            "a map of {}x{} for {count} images of {height}x{width}",
            map.height(),
            map.width()
        );
        return Err(Error::argument(
            "map",
            found,
            "one image and a map of its size",
        ));
    }
    if score.class >= model.num_classes() {
        return Err(Error::argument(
            "class",
            score.class,
            format!("0 to {}", model.num_classes() - 1),
        ));
    }
    Ok(image
        .detach()
        .to_nhwc()
        .to_dtype(candle_core::DType::F32)?
        .flatten_all()?
        .to_vec1()?)
}

/// The pixels of a map from the most to the least important; equals in the order of the image.
fn by_importance(map: &crate::Heatmap) -> Vec<usize> {
    let mut pixels: Vec<usize> = (0..map.values().len()).collect();
    pixels.sort_by(|&a, &b| map.values()[b].total_cmp(&map.values()[a]));
    pixels
}
