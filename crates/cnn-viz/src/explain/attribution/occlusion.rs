//! Occlusion (Zeiler & Fergus 2013, arXiv:1311.2901, section 4.2): how much the score falls when a
//! square of the mean colour covers each place; a pixel has the mean over the squares that cover
//! it.

use candle_core::Tensor;

use crate::Error;
use crate::explain::subject::{Subject, values};
use crate::explain::target::Score;

/// All channels of a pixel have the same value. `window` and `stride` are `[rows, columns]`;
/// squares at the border reach beyond it.
pub(crate) fn occlusion(
    subject: &Subject<'_>,
    images: &Tensor,
    targets: &[Score],
    window: [usize; 2],
    stride: [usize; 2],
) -> Result<Tensor, Error> {
    let (count, height, width, channels) = images.dims4()?;
    let [rows, columns] =
        [(height, 0), (width, 1)].map(|(len, axis)| starts(len, window[axis], stride[axis]));
    let places: Vec<[usize; 2]> = rows
        .iter()
        .flat_map(|&row| columns.iter().map(move |&column| [row, column]))
        .collect();
    let covered = |[row, column]: [usize; 2]| {
        let columns = column..(column + window[1]).min(width);
        (row..(row + window[0]).min(height))
            .flat_map(move |row| columns.clone().map(move |column| row * width + column))
    };
    let mut cover = vec![0u32; height * width];
    places
        .iter()
        .flat_map(|&place| covered(place))
        .for_each(|pixel| cover[pixel] += 1);

    let whole = subject.scores(images, targets)?;
    let mut attribution = Vec::with_capacity(count * height * width * channels);
    for (image, (target, whole)) in targets.iter().zip(whole).enumerate() {
        let pixels = values(&images.get(image)?)?;
        let mut losses = vec![0f64; height * width];
        for (number, batch) in places.chunks(subject.batch_size.max(1)).enumerate() {
            let mut occluded = pixels.repeat(batch.len());
            for (copy, &place) in occluded.chunks_exact_mut(pixels.len()).zip(batch) {
                covered(place).for_each(|pixel| copy[pixel * channels..][..channels].fill(0.));
            }
            let occluded = Tensor::from_vec(
                occluded,
                (batch.len(), height, width, channels),
                images.device(),
            )?;
            let scores = subject.scores(
                &occluded.to_dtype(images.dtype())?,
                &vec![target.clone(); batch.len()],
            )?;
            for (&place, score) in batch.iter().zip(scores) {
                covered(place).for_each(|pixel| losses[pixel] += whole - score);
            }
            let done = number * subject.batch_size.max(1) + batch.len();
            subject.report(image * places.len() + done, count * places.len());
        }
        let mean = |(loss, &cover): (&f64, &u32)| (loss / f64::from(cover.max(1))) as f32;
        attribution.extend(
            losses
                .iter()
                .zip(&cover)
                .map(mean)
                .flat_map(|loss| std::iter::repeat_n(loss, channels)),
        );
    }
    Ok(Tensor::from_vec(
        attribution,
        (count, height, width, channels),
        images.device(),
    )?)
}

/// Where windows begin along an axis: from 0 on, until one reaches the end.
fn starts(len: usize, window: usize, stride: usize) -> Vec<usize> {
    let stride = stride.max(1);
    (0..=len.saturating_sub(window).div_ceil(stride))
        .map(|number| number * stride)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_reach_the_end() {
        assert_eq!(starts(10, 4, 2), [0, 2, 4, 6]);
        assert_eq!(starts(10, 4, 4), [0, 4, 8]);
        assert_eq!(starts(3, 9, 4), [0]);
    }
}
