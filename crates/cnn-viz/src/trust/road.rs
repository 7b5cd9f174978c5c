//! ROAD, "Remove and Debias" (Rong et al. 2022, arXiv:2202.00449): how the class's probability
//! changes when the most, or the least, important pixels are replaced by what their surroundings
//! suggest, so that the hole's shape tells nothing.

use cnn_core::Key;
use cnn_layers::FeatureMap;
use rayon::prelude::*;

use super::{probabilities, values_of_one};
use crate::{Error, Explained, Heatmap, Score};

/// Weights of the eight neighbours: a sixth across an edge, a twelfth across a corner.
const NEIGHBOURS: [(isize, isize, f64); 8] = [
    (-1, -1, 1. / 12.),
    (-1, 0, 1. / 6.),
    (-1, 1, 1. / 12.),
    (0, -1, 1. / 6.),
    (0, 1, 1. / 6.),
    (1, -1, 1. / 12.),
    (1, 0, 1. / 6.),
    (1, 1, 1. / 12.),
];

/// Changes of the class's probability, for each percentile in the order given.
#[derive(Debug, Clone, PartialEq)]
pub struct Road {
    /// With the pixels at or above the percentile replaced: the lower the better.
    pub most_relevant: Vec<f64>,
    /// With as many of the least important ones replaced: the nearer to 0, or above it, the better.
    pub least_relevant: Vec<f64>,
}

impl Road {
    /// Half the difference of the means, least relevant less most relevant, in −1..=1: the larger
    /// the better, 0 for a random map.
    pub fn combined(&self) -> f64 {
        let mean = |changes: &[f64]| changes.iter().sum::<f64>() / changes.len().max(1) as f64;
        (mean(&self.least_relevant) - mean(&self.most_relevant)) / 2.
    }
}

/// Removes pixels of one image `(1, H, W, C)` at each percentile of its map and scores what is
/// left. `noise` is the standard deviation of what is added to filled pixels, in units of the
/// input, 0.01 in the paper.
///
/// # Errors
/// [`Error::Argument`] if the map is not of the image's size, the class does not exist, or a
/// percentile is not in 0 to 100.
pub fn road<'a>(
    model: impl Into<Explained<'a>>,
    image: &FeatureMap,
    map: &Heatmap,
    score: &Score,
    percentiles: &[f64],
    noise: f32,
    key: &Key,
) -> Result<Road, Error> {
    let model = model.into();
    let values = values_of_one(model, image, map, score)?;
    if let Some(wrong) = percentiles
        .iter()
        .find(|share| !(0.0..=100.0).contains(*share))
    {
        return Err(Error::argument("percentiles", wrong, "0 to 100"));
    }
    let size = [map.height(), map.width()];
    let inverted: Vec<f32> = map.values().iter().map(|value| 1. - value).collect();
    let mut removed: Vec<Vec<bool>> = Vec::new();
    for importance in [map.values(), &inverted] {
        let mut sorted = importance.to_vec();
        sorted.sort_unstable_by(f32::total_cmp);
        for &percentile in percentiles {
            let threshold = percentile_of(&sorted, percentile);
            removed.push(
                importance
                    .iter()
                    .map(|&value| f64::from(value) >= threshold)
                    .collect(),
            );
        }
    }
    let channels = image.channels();
    let fill = |(number, removed): (usize, &Vec<bool>)| {
        let mut filled = values.clone();
        fill_from_surroundings(&mut filled, removed, size, channels);
        let mut rng = key.stream("road").at(number as u64).rng();
        for (pixel, _) in filled
            .chunks_exact_mut(channels)
            .zip(removed)
            .filter(|(_, removed)| **removed)
        {
            pixel
                .iter_mut()
                .for_each(|value| *value += noise * rng.normal() as f32);
        }
        filled
    };
    let images: Vec<Vec<f32>> = removed.par_iter().enumerate().map(fill).collect();
    let like = image.detach().to_nhwc();
    let whole = probabilities(model, &like, score, 1, 1, |_| Ok(values.clone()))?[0];
    let count = images.len();
    let changed = probabilities(model, &like, score, count, count, |number| {
        Ok(images[number].clone())
    })?;
    let changes = |from: usize| {
        changed[from..from + percentiles.len()]
            .iter()
            .map(|after| after - whole)
            .collect()
    };
    Ok(Road {
        most_relevant: changes(0),
        least_relevant: changes(percentiles.len()),
    })
}

/// numpy's percentile of sorted values: linear between neighbours.
fn percentile_of(sorted: &[f32], percentile: f64) -> f64 {
    let place = percentile / 100. * (sorted.len() - 1) as f64;
    let low = sorted[place.floor() as usize];
    let high = sorted[place.ceil() as usize];
    f64::from(low) + (f64::from(high) - f64::from(low)) * place.fract()
}

/// Gives each removed pixel the weighted mean of its neighbours, all of them at once: a system of
/// linear equations, symmetric and positive, solved by conjugate gradients from the solution at
/// half the size on (Deuflhard 1994, cascadic multigrid). An image of which nothing is left becomes
/// 0.
fn fill_from_surroundings(
    values: &mut [f32],
    removed: &[bool],
    [height, width]: [usize; 2],
    channels: usize,
) {
    if removed.iter().all(|&removed| removed) {
        values.fill(0.);
        return;
    }
    if height.min(width) > 4 && removed.contains(&true) {
        let (mut coarse, coarse_removed) = halved(values, removed, [height, width], channels);
        fill_from_surroundings(
            &mut coarse,
            &coarse_removed,
            [height.div_ceil(2), width.div_ceil(2)],
            channels,
        );
        for (pixel, _) in removed.iter().enumerate().filter(|(_, removed)| **removed) {
            let from = pixel / width / 2 * width.div_ceil(2) + pixel % width / 2;
            values[pixel * channels..][..channels]
                .copy_from_slice(&coarse[from * channels..][..channels]);
        }
    }
    let mut unknown_of = vec![usize::MAX; removed.len()];
    let pixels: Vec<usize> = (0..removed.len()).filter(|&pixel| removed[pixel]).collect();
    pixels
        .iter()
        .enumerate()
        .for_each(|(unknown, &pixel)| unknown_of[pixel] = unknown);
    let neighbours = |pixel: usize| {
        NEIGHBOURS.iter().filter_map(move |&(down, right, weight)| {
            let row = (pixel / width)
                .checked_add_signed(down)
                .filter(|&row| row < height)?;
            let column = (pixel % width)
                .checked_add_signed(right)
                .filter(|&column| column < width)?;
            Some((row * width + column, weight))
        })
    };
    // Row by row the unknown neighbours of each unknown, and the sum of the weights of all of them.
    let mut links: Vec<(u32, f64)> = Vec::with_capacity(8 * pixels.len());
    let mut ends = Vec::with_capacity(pixels.len());
    let mut diagonal = Vec::with_capacity(pixels.len());
    for &pixel in &pixels {
        let unknown = neighbours(pixel).filter(|&(neighbour, _)| removed[neighbour]);
        links.extend(unknown.map(|(neighbour, weight)| (unknown_of[neighbour] as u32, weight)));
        ends.push(links.len());
        diagonal.push(neighbours(pixel).map(|(_, weight)| weight).sum::<f64>());
    }
    let multiply = |xs: &[Lanes], ys: &mut [Lanes]| {
        let mut start = 0;
        for (unknown, &end) in ends.iter().enumerate() {
            let mut sum = xs[unknown].map(|x| diagonal[unknown] * x);
            for &(other, weight) in &links[start..end] {
                sum.iter_mut()
                    .zip(xs[other as usize])
                    .for_each(|(sum, x)| *sum -= weight * x);
            }
            ys[unknown] = sum;
            start = end;
        }
    };
    for first in (0..channels).step_by(LANES) {
        let lanes = LANES.min(channels - first);
        let at = |pixel: usize, lane: usize| f64::from(values[pixel * channels + first + lane]);
        let of = |pixel: usize| {
            std::array::from_fn(|lane| if lane < lanes { at(pixel, lane) } else { 0. })
        };
        let known = |pixel: usize| {
            let mut sum: Lanes = [0.; LANES];
            for (neighbour, weight) in
                neighbours(pixel).filter(|&(neighbour, _)| !removed[neighbour])
            {
                sum.iter_mut()
                    .zip(of(neighbour))
                    .for_each(|(sum, value)| *sum += weight * value);
            }
            sum
        };
        let right: Vec<Lanes> = pixels.iter().map(|&pixel| known(pixel)).collect();
        let solution = conjugate_gradients(
            multiply,
            &right,
            pixels.iter().map(|&pixel| of(pixel)).collect(),
        );
        for (&pixel, solution) in pixels.iter().zip(solution) {
            let to = &mut values[pixel * channels + first..][..lanes];
            to.iter_mut()
                .zip(solution)
                .for_each(|(value, solution)| *value = solution as f32);
        }
    }
}

/// Channels that are solved for together: the equations are the same.
const LANES: usize = 4;
type Lanes = [f64; LANES];

/// The image at half the size: each pixel the mean of what is left of four, removed where nothing
/// is.
fn halved(
    values: &[f32],
    removed: &[bool],
    [height, width]: [usize; 2],
    channels: usize,
) -> (Vec<f32>, Vec<bool>) {
    let rows = height.div_ceil(2);
    let columns = width.div_ceil(2);
    let mut sums = vec![0f32; rows * columns * channels];
    let mut counts = vec![0f32; rows * columns];
    for pixel in (0..removed.len()).filter(|&pixel| !removed[pixel]) {
        let to = pixel / width / 2 * columns + pixel % width / 2;
        counts[to] += 1.;
        for channel in 0..channels {
            sums[to * channels + channel] += values[pixel * channels + channel];
        }
    }
    for (pixel, count) in sums.chunks_exact_mut(channels).zip(&counts) {
        pixel.iter_mut().for_each(|sum| *sum /= count.max(1.));
    }
    (sums, counts.iter().map(|&count| count == 0.).collect())
}

/// Solves `A x = b` for a symmetric positive `A` and several `b`, from a guess on, to a
/// hundred-thousandth of `b`.
fn conjugate_gradients(
    multiply: impl Fn(&[Lanes], &mut [Lanes]),
    right: &[Lanes],
    guess: Vec<Lanes>,
) -> Vec<Lanes> {
    let mut solution = guess;
    let mut image = vec![[0.; LANES]; right.len()];
    multiply(&solution, &mut image);
    let mut residual = right.to_vec();
    add(&mut residual, [-1.; LANES], &image);
    let mut direction = residual.clone();
    let mut square = dot(&residual, &residual);
    let enough = dot(right, right).map(|square| square * 1e-10);
    for _ in 0..10 * right.len() {
        if square
            .iter()
            .zip(enough)
            .all(|(square, enough)| *square <= enough)
        {
            break;
        }
        multiply(&direction, &mut image);
        let step = quotient(square, dot(&direction, &image));
        add(&mut solution, step, &direction);
        add(&mut residual, step.map(|step| -step), &image);
        let next = dot(&residual, &residual);
        let ratio = quotient(next, square);
        for (direction, residual) in direction.iter_mut().zip(&residual) {
            *direction = std::array::from_fn(|lane| residual[lane] + ratio[lane] * direction[lane]);
        }
        square = next;
    }
    solution
}

/// `xs += factor · ys`.
fn add(xs: &mut [Lanes], factor: Lanes, ys: &[Lanes]) {
    for (x, y) in xs.iter_mut().zip(ys) {
        *x = std::array::from_fn(|lane| x[lane] + factor[lane] * y[lane]);
    }
}

fn dot(xs: &[Lanes], ys: &[Lanes]) -> Lanes {
    let term = |sum: Lanes, (x, y): (&Lanes, &Lanes)| {
        std::array::from_fn(|lane| sum[lane] + x[lane] * y[lane])
    };
    xs.iter().zip(ys).fold([0.; LANES], term)
}

/// 0 for a lane that is solved.
fn quotient(xs: Lanes, ys: Lanes) -> Lanes {
    std::array::from_fn(|lane| {
        if ys[lane] > 0. {
            xs[lane] / ys[lane]
        } else {
            0.
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_filled_as_it_was() {
        let height = 9;
        let width = 7;
        let slope: Vec<f32> = (0..height * width)
            .flat_map(|at| [at as f32 % 7., 3. - (at / 7) as f32])
            .collect();
        let removed: Vec<bool> = (0..height * width)
            .map(|at| (2..6).contains(&(at / 7)) && (1..5).contains(&(at % 7)))
            .collect();
        let mut filled = slope.clone();
        for (pixel, _) in filled
            .chunks_exact_mut(2)
            .zip(&removed)
            .filter(|(_, removed)| **removed)
        {
            pixel.fill(99.);
        }
        fill_from_surroundings(&mut filled, &removed, [height, width], 2);
        assert!(
            filled
                .iter()
                .zip(&slope)
                .all(|(filled, slope)| (filled - slope).abs() < 1e-3),
            "{filled:?}"
        );
    }

    #[test]
    fn an_image_of_which_nothing_is_left_becomes_zero() {
        let mut values = vec![5.; 12];
        fill_from_surroundings(&mut values, &[true; 12], [3, 4], 1);
        assert_eq!(values, [0.; 12]);
    }

    // numpy.percentile([1, 2, 4, 8], [0, 20, 50, 100])
    #[test]
    fn percentiles_are_numpys() {
        let found =
            [0., 20., 50., 100.].map(|percentile| percentile_of(&[1., 2., 4., 8.], percentile));
        for (found, expected) in found.into_iter().zip([1., 1.6, 3., 8.]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
}
