//! Ablation-CAM (Desai & Ramaswamy 2020, "Ablation-CAM: Visual Explanations for Deep Convolutional
//! Network via Gradient-free Localization"): a channel's weight is the share of the score that is
//! lost without it, equation 4.

use candle_core::Tensor;

use super::Maps;
use crate::Error;
use crate::explain::place::Place;
use crate::explain::subject::Subject;
use crate::explain::target::Score;

/// `all` are the maps of the batch, for their element type and device; `progress` counts the images
/// scored before and in all.
pub(super) fn weighted(
    subject: &Subject<'_>,
    maps: &Maps<'_>,
    place: Place,
    [height, width]: [usize; 2],
    all: &Tensor,
    target: &Score,
    (before, total): (usize, usize),
) -> Result<Vec<f64>, Error> {
    let channels = maps.channels;
    let score = |images: Vec<f64>, count: usize| {
        let images = Tensor::from_vec(images, (count, height, width, channels), all.device())?;
        subject.scores_from(place, &images.to_dtype(all.dtype())?, &vec![*target; count])
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
