//! EigenCAM (Muhammad & Yeasin 2020, arXiv:2008.00299): the maps projected on their first principal
//! component.

/// Rounds of the power iteration at most, and the change of the direction at which it ends.
const ROUNDS: usize = 1000;
const CHANGE: f64 = 1e-12;

/// Projects each pixel of `channels` values, their mean removed, on the first principal component.
///
/// A component has no sign of its own. Here the larger extreme is positive: `|min| ≤ |max|` (Chung
/// & Ying 2025, doi:10.3390/app15137562, equation 13).
pub(super) fn first_component(pixels: &[f64], channels: usize) -> Vec<f32> {
    let count = pixels.len() / channels;
    let mut centred: Vec<f64> = pixels
        .iter()
        .map(|&value| if value.is_nan() { 0. } else { value })
        .collect();
    for channel in 0..channels {
        let of_channel = || (0..count).map(|pixel| pixel * channels + channel);
        let mean = of_channel().map(|at| centred[at]).sum::<f64>() / count as f64;
        of_channel().for_each(|at| centred[at] -= mean);
    }
    // The smaller of the two matrices of inner products has the same largest eigenvalue; its vector
    // gives the projection either way.
    let mut projection = if count <= channels {
        let (vector, value) = largest_eigenvector(&inner_products(&centred, channels), count);
        vector
            .into_iter()
            .map(|entry| entry * value.max(0.).sqrt())
            .collect()
    } else {
        let (vector, _) = largest_eigenvector(
            &inner_products(&transposed(&centred, channels), count),
            channels,
        );
        centred
            .chunks_exact(channels)
            .map(|pixel| dot(pixel, &vector))
            .collect::<Vec<f64>>()
    };
    let extreme = |sign: f64| {
        projection
            .iter()
            .fold(0f64, |most, &value| most.max(sign * value))
    };
    if extreme(-1.) > extreme(1.) {
        projection.iter_mut().for_each(|value| *value = -*value);
    }
    projection.into_iter().map(|value| value as f32).collect()
}

/// The inner products of all rows of `len` values with each other.
fn inner_products(rows: &[f64], len: usize) -> Vec<f64> {
    let count = rows.len() / len;
    let mut products = vec![0.; count * count];
    for i in 0..count {
        for j in 0..=i {
            let product = dot(&rows[i * len..][..len], &rows[j * len..][..len]);
            (products[i * count + j], products[j * count + i]) = (product, product);
        }
    }
    products
}

fn transposed(rows: &[f64], len: usize) -> Vec<f64> {
    (0..len)
        .flat_map(|column| rows.iter().skip(column).step_by(len).copied())
        .collect()
}

fn dot(xs: &[f64], ys: &[f64]) -> f64 {
    xs.iter().zip(ys).map(|(x, y)| x * y).sum()
}

/// The eigenvector of the largest eigenvalue of a symmetric matrix without negative ones, and that
/// eigenvalue: power iteration from the matrix's longest row.
fn largest_eigenvector(matrix: &[f64], size: usize) -> (Vec<f64>, f64) {
    let square = |row: &&[f64]| dot(row, row);
    let longest = matrix
        .chunks_exact(size)
        .max_by(|a, b| square(a).total_cmp(&square(b)));
    let mut vector = longest.map_or_else(Vec::new, <[f64]>::to_vec);
    normalize(&mut vector);
    let mut value = 0.;
    for _ in 0..ROUNDS {
        let mut next: Vec<f64> = matrix
            .chunks_exact(size)
            .map(|row| dot(row, &vector))
            .collect();
        value = normalize(&mut next);
        let change: f64 = next
            .iter()
            .zip(&vector)
            .map(|(new, old)| (new - old).powi(2))
            .sum();
        vector = next;
        if change < CHANGE * CHANGE {
            break;
        }
    }
    (vector, value)
}

/// Brings a vector to length 1 and returns the length that it had; zero stays zero.
fn normalize(vector: &mut [f64]) -> f64 {
    let length = dot(vector, vector).sqrt();
    if length > 0. {
        vector.iter_mut().for_each(|entry| *entry /= length);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels along a direction in three channels, with a little across it.
    fn pixels(count: usize) -> Vec<f64> {
        let along = |at: usize| {
            if at.is_multiple_of(5) {
                4.
            } else {
                (at % 3) as f64 * 0.5
            }
        };
        (0..count)
            .flat_map(|at| [along(at), 2. * along(at), 7. + 0.01 * (at % 7) as f64])
            .collect()
    }

    #[test]
    fn the_projection_is_the_direction_of_most_variance() {
        for count in [3, 4, 40] {
            let projection = first_component(&pixels(count), 3);
            let mean = (0..count).map(|at| pixels(count)[3 * at]).sum::<f64>() / count as f64;
            for (at, &value) in projection.iter().enumerate() {
                let expected = (pixels(count)[3 * at] - mean) * 5f64.sqrt();
                assert!(
                    (f64::from(value) - expected).abs() < 0.02,
                    "{count} {at}: {value} {expected}"
                );
            }
        }
    }

    #[test]
    fn the_larger_extreme_is_positive_and_constant_maps_give_zero() {
        let flipped: Vec<f64> = pixels(40).iter().map(|value| -value).collect();
        let [plain, flipped] = [pixels(40), flipped].map(|pixels| first_component(&pixels, 3));
        assert!(
            plain
                .iter()
                .zip(&flipped)
                .all(|(a, b)| (a - b).abs() < 1e-5)
        );
        assert!(
            first_component(&[3.; 24], 3)
                .iter()
                .all(|&value| value == 0.)
        );
    }
}
