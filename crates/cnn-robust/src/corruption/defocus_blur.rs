//! A photo out of focus.

use cnn_data::Image;

use super::Severity;
use super::border::reflect_101;
use super::chance::Chance;
use super::pixels::Pixels;
use super::severity::Table;
use crate::Error;

/// The disk that a point becomes.
#[derive(Clone, Copy)]
struct Disk {
    /// In pixels.
    radius: f64,
    /// The standard deviation, in pixels, of the blur that smooths its edge.
    edge: f64,
}

const fn disk(radius: f64, edge: f64) -> Disk {
    Disk { radius, edge }
}

#[rustfmt::skip]
const DISKS: Table<Disk> = Table {
    large: [disk(3., 0.1), disk(4., 0.5), disk(6., 0.5), disk(8., 0.5), disk(10., 0.5)],
    small: [disk(0.3, 0.4), disk(0.4, 0.5), disk(0.5, 0.6), disk(1., 0.2), disk(1.5, 0.1)],
};

/// Each point becomes a disk whose edge is smoothed by a Gaussian of 3×3 pixels, or 5×5 for a
/// radius above 8; the image is mirrored beyond its edge.
pub(super) fn corrupt(image: &Image, severity: Severity, _: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let taps = DISKS.of(&pixels, severity).taps();
    pixels.correlated(&taps, reflect_101).to_image()
}

impl Disk {
    /// Its weights by their offsets.
    fn taps(self) -> Vec<(i64, i64, f64)> {
        let Self { radius, edge } = self;
        let sharp_edge = radius > 8.;
        let reach = if sharp_edge { radius as i64 } else { 8 };
        let smoothing = gaussian(if sharp_edge { 2 } else { 1 }, edge);
        let side = 2 * reach as usize + 1;
        let inside = |y: i64, x: i64| ((y * y + x * x) as f64) <= radius * radius;
        let offsets = || (-reach..=reach).flat_map(|y| (-reach..=reach).map(move |x| (y, x)));
        let share = 1. / offsets().filter(|&(y, x)| inside(y, x)).count() as f64;
        let smoothed = |(y, x): (i64, i64)| {
            let mut sum = 0.;
            for &(down, weight_y) in &smoothing {
                for &(along, weight_x) in &smoothing {
                    // The square of weights is mirrored at its edge, as OpenCV does with an image.
                    let [y, x] = [y + down, x + along]
                        .map(|place| reflect_101(place + reach, side) as i64 - reach);
                    let weight = weight_y * weight_x;
                    sum += if inside(y, x) { weight * share } else { 0. };
                }
            }
            (y, x, sum)
        };
        let taps = offsets().map(smoothed);
        taps.filter(|&(_, _, weight)| weight > 0.).collect()
    }
}

/// Offsets up to `reach` with the weights of a Gaussian, which sum to 1.
fn gaussian(reach: i64, sigma: f64) -> Vec<(i64, f64)> {
    let weight = |offset: i64| libm::exp(-((offset * offset) as f64) / (2. * sigma * sigma));
    let sum: f64 = (-reach..=reach).map(weight).sum();
    (-reach..=reach)
        .map(|offset| (offset, weight(offset) / sum))
        .collect()
}
