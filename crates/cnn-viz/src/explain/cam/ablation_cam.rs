//! Ablation-CAM (Desai & Ramaswamy 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional
//! Network via Gradient-free Localization"): a channel's weight is the share of the score that is
//! lost without it, equation 4.

use candle_core::Tensor;

use super::Maps;
use crate::Error;
use crate::explain::place::Place;
use crate::explain::subject::Subject;
use crate::explain::target::Score;

/// What is ablated: the maps of one image at a place.
pub(super) struct Ablated<'a> {
    pub(super) place: Place,
    /// Height and width of the maps.
    pub(super) size: [usize; 2],
    /// `(1, H, W, C)`.
    pub(super) image: Tensor,
    pub(super) target: &'a Score,
}

/// `progress` counts the images scored before and in all.
pub(super) fn weighted(
    subject: &Subject<'_>,
    maps: &Maps<'_>,
    ablated: &Ablated<'_>,
    (before, total): (usize, usize),
) -> Result<Vec<f64>, Error> {
    let Ablated {
        place,
        size: [height, width],
        image,
        target,
    } = ablated;
    let channels = maps.channels;
    let score = |images: Vec<f64>, count: usize| {
        let maps = Tensor::from_vec(images, (count, *height, *width, channels), image.device())?;
        let maps = maps.to_dtype(image.dtype())?;
        subject.scores_from(*place, image, &maps, &vec![Score::clone(target); count])
    };
    let whole = score(maps.activations.to_vec(), 1)?[0];
    let mut losses = Vec::with_capacity(channels);
    let numbers: Vec<usize> = (0..channels).collect();
    for batch in numbers.chunks(subject.batch_size.max(1)) {
        let mut ablated = maps.activations.repeat(batch.len());
        for (image, &channel) in ablated.chunks_exact_mut(maps.activations.len()).zip(batch) {
            image
                .iter_mut()
                .skip(channel)
                .step_by(channels)
                .for_each(|value| *value = 0.);
        }
        losses.extend(
            score(ablated, batch.len())?
                .into_iter()
                .map(|score| whole - score),
        );
        subject.report(before + losses.len(), total);
    }
    // The score's size is the same for all channels and leaves the map as it is; its sign does not.
    let divisor = if whole == 0. { 1. } else { whole };
    Ok(maps.weighted(&losses.iter().map(|loss| loss / divisor).collect::<Vec<_>>()))
}
