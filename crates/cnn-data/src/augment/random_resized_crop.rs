//! Cutting out a part of random size and shape and bringing it to one size.

use cnn_core::{Interpolation, Rng};

use super::Transform;
use super::arguments::{ordered, size};
use super::geometry::crop;
use super::resize::resize_sample;
use crate::{Affine, Error, Image, Sample};

/// Cuts out a random part and resizes it (C. Szegedy et al., "Going Deeper with Convolutions",
/// 2015), by the algorithm of torchvision's `RandomResizedCrop`.
///
/// The part's share of the image's area is uniform in `scale`, the logarithm of its aspect ratio
/// (width over height) is uniform between the logarithms of `ratio`, and its place is uniform. If
/// no part in ten draws fits, the centre is taken, as large as `ratio` permits. The mask is resized
/// to its nearest pixels. Boxes are cut, and go by the rule of
/// [`BoundingBox::placed`](crate::BoundingBox::placed).
#[derive(Clone, Debug, PartialEq)]
pub struct RandomResizedCrop {
    size: [usize; 2],
    scale: [f64; 2],
    ratio: [f64; 2],
    interpolation: Interpolation,
}

impl RandomResizedCrop {
    /// Makes images of `height` and `width`; scale 0.08 to 1, ratio 3/4 to 4/3, bilinear.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is zero, [`Error::TooLarge`] beyond the default
    /// [`Limits`](crate::Limits).
    pub fn new(height: usize, width: usize) -> Result<Self, Error> {
        Ok(Self {
            size: size(height, width)?,
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            interpolation: Interpolation::Bilinear,
        })
    }

    /// Smallest and largest share of the image's area. Default 0.08 and 1.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `1e-6..=1`.
    pub fn with_scale(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            scale: ordered("scale", [low, high], 1e-6..=1.0)?,
            ..self
        })
    }

    /// Smallest and largest aspect ratio, width over height. Default 3/4 and 4/3.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `0.001..=1000`.
    pub fn with_ratio(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            ratio: ordered("ratio", [low, high], 0.001..=1000.0)?,
            ..self
        })
    }

    /// How the image is resampled. Default bilinear.
    pub fn with_interpolation(self, interpolation: Interpolation) -> Self {
        Self {
            interpolation,
            ..self
        }
    }

    fn draw(&self, height: usize, width: usize, rng: &mut Rng) -> Window {
        let area = height as f64 * width as f64;
        let [low, high] = self.ratio.map(libm::log);
        for _ in 0..10 {
            let target = area * rng.uniform_in(self.scale[0], self.scale[1]);
            let ratio = libm::exp(rng.uniform_in(low, high));
            let columns = (target * ratio).sqrt().round_ties_even() as usize;
            let rows = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&columns) && (1..=height).contains(&rows) {
                let top = rng.below((height - rows + 1) as u64) as usize;
                let left = rng.below((width - columns + 1) as u64) as usize;
                return Window {
                    top,
                    left,
                    height: rows,
                    width: columns,
                };
            }
        }
        self.centre(height, width)
    }

    fn centre(&self, height: usize, width: usize) -> Window {
        let ratio = width as f64 / height as f64;
        let [low, high] = self.ratio;
        let limited = |side: f64, limit: usize| (side.round_ties_even() as usize).clamp(1, limit);
        let (rows, columns) = if ratio < low {
            (limited(width as f64 / low, height), width)
        } else if ratio > high {
            (height, limited(height as f64 * high, width))
        } else {
            (height, width)
        };
        Window {
            top: (height - rows) / 2,
            left: (width - columns) / 2,
            height: rows,
            width: columns,
        }
    }
}

impl Transform for RandomResizedCrop {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let Window {
            top,
            left,
            height,
            width,
        } = self.draw(sample.image.height(), sample.image.width(), rng);
        let corner = [top as i64, left as i64];
        // The window lies inside: nothing is filled.
        let cut = |image: Image| crop(&image, corner, [height, width], &vec![0; image.channels()]);
        let map = Affine::translation(-(left as f64), -(top as f64));
        let cropped = sample.transformed(&map, cut, cut)?;
        resize_sample(cropped, self.size, self.interpolation)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use cnn_core::Key;

    fn draws(crop: &RandomResizedCrop, height: usize, width: usize) -> Vec<Window> {
        let mut rng = Key::new(3).rng();
        (0..4000)
            .map(|_| crop.draw(height, width, &mut rng))
            .collect()
    }

    fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
        let count = values.len() as f64;
        values.sum::<f64>() / count
    }

    // Of small windows all fit, so that area and log-ratio are uniform: means 0.1 and 0, standard
    // errors 0.0005 and 0.003.
    #[test]
    fn area_and_ratio_are_uniform() {
        let crop = RandomResizedCrop::new(8, 8)
            .unwrap()
            .with_scale(0.05, 0.15)
            .unwrap();
        let height = 400;
        let width = 300;
        let windows = draws(&crop, height, width);
        let area =
            |window: &Window| (window.height * window.width) as f64 / (height * width) as f64;
        let ratio = |window: &Window| window.width as f64 / window.height as f64;
        // Rounding a side of at least 67 pixels by half a pixel.
        let slack = 0.5 / 67.0;
        for window in &windows {
            assert!(
                (0.05 * (1.0 - 2.0 * slack)..=0.15 * (1.0 + 2.0 * slack)).contains(&area(window)),
                "{window:?}"
            );
            let low = 0.75 * (1.0 - 2.0 * slack);
            let high = 4.0 / 3.0 * (1.0 + 2.0 * slack);
            assert!((low..=high).contains(&ratio(window)), "{window:?}");
            assert!(window.top + window.height <= height && window.left + window.width <= width);
        }
        let mean_area = mean(windows.iter().map(area));
        let mean_log_ratio = mean(windows.iter().map(|window| ratio(window).ln()));
        assert!(
            (mean_area - 0.1).abs() < 0.002 && mean_log_ratio.abs() < 0.011,
            "{mean_area} {mean_log_ratio}"
        );
        let above = mean(windows.iter().map(|window| window.top as f64));
        let below = mean(
            windows
                .iter()
                .map(|window| (height - window.top - window.height) as f64),
        );
        assert!((above / below - 1.0).abs() < 0.06, "{above} {below}");
    }

    // torchvision 0.29.2: means of h·w / (height·width) and w / h over 8,000 draws, after torch.manual_seed(0), of
    // RandomResizedCrop.get_params(torch.zeros(1, height, width), (0.08, 1.0), (3 / 4, 4 / 3)).
    const TORCHVISION_MEANS: [(usize, usize, f64, f64); 2] =
        [(300, 400, 0.43446, 1.04683), (500, 500, 0.47771, 1.01181)];

    #[test]
    fn the_defaults_have_torchvisions_means() {
        let crop = RandomResizedCrop::new(8, 8).unwrap();
        for (height, width, area, ratio) in TORCHVISION_MEANS {
            let windows = draws(&crop, height, width);
            let areas = windows
                .iter()
                .map(|window| (window.height * window.width) as f64 / (height * width) as f64);
            let ratios = windows
                .iter()
                .map(|window| window.width as f64 / window.height as f64);
            let found_area = mean(areas);
            let found_ratio = mean(ratios);
            assert!(
                (found_area - area).abs() < 0.018,
                "{height}x{width}: {found_area}"
            );
            assert!(
                (found_ratio - ratio).abs() < 0.015,
                "{height}x{width}: {found_ratio}"
            );
        }
    }

    // Image and window by torchvision's fallback: int(round(w / min(ratio))) rows or int(round(h * max(ratio))) columns.
    #[test]
    fn what_never_fits_is_cut_from_the_centre() {
        let crop = RandomResizedCrop::new(8, 8)
            .unwrap()
            .with_scale(1.0, 1.0)
            .unwrap();
        let cases = [
            (
                [100, 7],
                Window {
                    top: 45,
                    left: 0,
                    height: 9,
                    width: 7,
                },
            ),
            (
                [7, 100],
                Window {
                    top: 0,
                    left: 45,
                    height: 7,
                    width: 9,
                },
            ),
            (
                [1, 7],
                Window {
                    top: 0,
                    left: 3,
                    height: 1,
                    width: 1,
                },
            ),
        ];
        for ([height, width], expected) in cases {
            assert!(
                draws(&crop, height, width)
                    .iter()
                    .all(|&window| window == expected),
                "{height}x{width}"
            );
        }
    }
}
