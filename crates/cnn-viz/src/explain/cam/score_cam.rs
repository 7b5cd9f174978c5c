//! Score-CAM (Wang et al. 2020, arXiv:1910.01279): a channel's weight is the softmax, over the
//! channels, of the score of the image seen through it.

use candle_core::Tensor;

use super::Maps;
use crate::Error;
use crate::explain::subject::{Subject, values};
use crate::explain::target::Score;

/// Keeps the mask of a constant channel finite; the value of the published programs.
const EPSILON: f32 = 1e-8;

/// `input` is `(H, W, C)`; `progress` counts the images scored before and in all.
pub(super) fn weighted(
    subject: &Subject<'_>,
    maps: &Maps<'_>,
    size: [usize; 2],
    input: &Tensor,
    target: &Score,
    (before, total): (usize, usize),
) -> Result<Vec<f64>, Error> {
    let (height, width, input_channels) = input.dims3()?;
    let pixels = values(input)?;
    let mut scores = Vec::with_capacity(maps.channels);
    let channels: Vec<usize> = (0..maps.channels).collect();
    for batch in channels.chunks(subject.batch_size.max(1)) {
        let mut seen = Vec::with_capacity(batch.len() * pixels.len());
        for &channel in batch {
            let of_channel = maps.activations.iter().skip(channel).step_by(maps.channels);
            let map: Vec<f32> = of_channel.map(|&value| value as f32).collect();
            let mask = mask(&map, size, [height, width]);
            seen.extend(
                pixels
                    .iter()
                    .enumerate()
                    .map(|(at, value)| value * mask[at / input_channels]),
            );
        }
        let seen = Tensor::from_vec(
            seen,
            (batch.len(), height, width, input_channels),
            input.device(),
        )?;
        scores.extend(subject.scores(
            &seen.to_dtype(input.dtype())?,
            &vec![target.clone(); batch.len()],
        )?);
        subject.report(before + scores.len(), total);
    }
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    Ok(maps.weighted(
        &exponentials
            .iter()
            .map(|exponential| exponential / sum)
            .collect::<Vec<_>>(),
    ))
}

/// A map of `from` = `[height, width]` stretched over the corners of `to`, linear in between, and
/// brought to 0..1.
fn mask(map: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let axis = |from: usize, to: usize| -> Vec<(usize, usize, f32)> {
        let scale = if to > 1 {
            (from - 1) as f32 / (to - 1) as f32
        } else {
            0.
        };
        let place = |at: usize| {
            let exact = at as f32 * scale;
            let low = (exact as usize).min(from - 1);
            (low, (low + 1).min(from - 1), exact - low as f32)
        };
        (0..to).map(place).collect()
    };
    let rows = axis(from[0], to[0]);
    let columns = axis(from[1], to[1]);
    let at = |row: usize, column: usize| map[row * from[1] + column];
    let mut mask = Vec::with_capacity(to[0] * to[1]);
    for &(upper, lower, down) in &rows {
        for &(left, right, across) in &columns {
            let above = at(upper, left) * (1. - across) + at(upper, right) * across;
            let below = at(lower, left) * (1. - across) + at(lower, right) * across;
            mask.push(above * (1. - down) + below * down);
        }
    }
    let low = mask.iter().copied().fold(f32::INFINITY, f32::min);
    let high = mask.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    mask.iter_mut()
        .for_each(|value| *value = (*value - low) / (high - low + EPSILON));
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    // torch.nn.UpsamplingBilinear2d((3, 5))(torch.tensor([[[[0., 2.], [4., 8.]]]])) / 8
    #[test]
    fn a_mask_reaches_from_corner_to_corner() {
        let expected = [
            0., 0.5, 1., 1.5, 2., 2., 2.75, 3.5, 4.25, 5., 4., 5., 6., 7., 8.,
        ]
        .map(|value: f32| value / 8.);
        let found = mask(&[0., 2., 4., 8.], [2, 2], [3, 5]);
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(found, expected)| (found - expected).abs() < 1e-6),
            "{found:?}"
        );
        assert_eq!(mask(&[3.], [1, 1], [2, 2]), [0.; 4]);
    }
}
