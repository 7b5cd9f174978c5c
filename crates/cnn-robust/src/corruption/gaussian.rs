//! Gaussian blur as scipy has it.

use super::border::symmetric;
use super::pixels::Pixels;

/// Blurs an image of height, width, channels, cut at four standard deviations and mirrored at its
/// edges.
pub(crate) fn smoothed(image: &[f64], size: [usize; 3], sigma: f64) -> Vec<f64> {
    let [height, width, channels] = size;
    let pixels = Pixels {
        height,
        width,
        channels,
        values: image.to_vec(),
    };
    blurred(&pixels, sigma, 4., symmetric).values
}

/// Blurs along both axes with a Gaussian that is cut at `truncate` standard deviations; `border`
/// has the place of what is outside.
pub(super) fn blurred(
    pixels: &Pixels,
    sigma: f64,
    truncate: f64,
    border: impl Fn(i64, usize) -> usize,
) -> Pixels {
    let reach = (truncate * sigma + 0.5) as i64;
    if reach == 0 {
        return pixels.clone();
    }
    let weight = |offset: i64| libm::exp(-0.5 / (sigma * sigma) * (offset * offset) as f64);
    let sum: f64 = (-reach..=reach).map(weight).sum();
    let taps: Vec<_> = (-reach..=reach)
        .map(|offset| (offset, weight(offset) / sum))
        .collect();
    let along_columns = |len: usize| folded(&taps, len, &border);
    let rows = along_columns(pixels.height);
    let columns = along_columns(pixels.width);
    let row_len = pixels.width * pixels.channels;
    let mut vertical = vec![0.; pixels.values.len()];
    for (row, out) in rows.iter().zip(vertical.chunks_exact_mut(row_len)) {
        for &(from, weight) in row {
            let values = &pixels.values[from * row_len..][..row_len];
            for (out, value) in out.iter_mut().zip(values) {
                *out += weight * value;
            }
        }
    }
    let channels = pixels.channels;
    let mut both = vec![0.; pixels.values.len()];
    let lines = vertical.chunks_exact(row_len);
    for (line, out) in lines.zip(both.chunks_exact_mut(row_len)) {
        for (column, out) in columns.iter().zip(out.chunks_exact_mut(channels)) {
            for &(from, weight) in column {
                let values = &line[from * channels..][..channels];
                for (out, value) in out.iter_mut().zip(values) {
                    *out += weight * value;
                }
            }
        }
    }
    pixels.with_values(both)
}

/// For each place of a line which places are summed with which weights; of taps that find the same
/// place the weights are added up, so that a line costs no more than its own length however far
/// taps reach.
fn folded(
    taps: &[(i64, f64)],
    len: usize,
    border: &impl Fn(i64, usize) -> usize,
) -> Vec<Vec<(usize, f64)>> {
    let of_place = |place: usize| {
        let mut weights = vec![0.; len];
        for &(offset, weight) in taps {
            weights[border(place as i64 + offset, len)] += weight;
        }
        let weights = weights.into_iter().enumerate();
        weights.filter(|&(_, weight)| weight > 0.).collect()
    };
    (0..len).map(of_place).collect()
}
