//! Sums over the values of each channel, in f64 and in a fixed order.

use serde::Serialize;

/// How many random projections tell channels from each other.
pub(super) const PROJECTIONS: usize = 2;

/// What one channel gave over all pixels of all inspected images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChannelStatistics {
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Variance, the divisor being the number of values.
    pub variance: f64,
    /// Share of values that are exactly 0, in 0..1.
    pub zeros: f64,
}

impl ChannelStatistics {
    /// Whether every value was the same number.
    pub fn is_constant(&self) -> bool {
        self.min == self.max && self.mean.is_finite()
    }
}

/// How the values of a whole layer are spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, the divisor being the number of values.
    pub std: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Share of values that are exactly 0, in 0..1.
    pub zeros: f64,
}

/// What is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Smallest and largest values.
    Range,
    /// Also means, variances and zeros.
    Moments,
    /// Also random projections.
    Signature,
}

/// Sums over the values of each channel.
#[derive(Debug, Clone)]
pub(super) struct ChannelSums {
    detail: Detail,
    /// Values of each channel.
    values: u64,
    pub(super) min: Vec<f64>,
    pub(super) max: Vec<f64>,
    sum: Vec<f64>,
    pub(super) squares: Vec<f64>,
    zeros: Vec<f64>,
    pub(super) projections: [Vec<f64>; PROJECTIONS],
}

impl ChannelSums {
    pub(super) fn new(channels: usize, detail: Detail) -> Self {
        let sums = |wanted: bool| {
            vec![
                0.;
                if detail == Detail::Range || !wanted {
                    0
                } else {
                    channels
                }
            ]
        };
        Self {
            detail,
            values: 0,
            min: vec![f64::INFINITY; channels],
            max: vec![f64::NEG_INFINITY; channels],
            sum: sums(true),
            squares: sums(true),
            zeros: sums(true),
            projections: std::array::from_fn(|_| sums(detail == Detail::Signature)),
        }
    }

    /// Adds the pixels of one image; `weight` gives each pixel's weights in the projections.
    pub(super) fn add_image<T: Copy + Into<f64>>(
        &mut self,
        values: &[T],
        weight: impl Fn(usize) -> [f64; PROJECTIONS],
    ) {
        let channels = self.min.len().max(1);
        for (number, pixel) in values.chunks_exact(channels).enumerate() {
            add_range(pixel, &mut self.min, &mut self.max);
            if self.detail != Detail::Range {
                add_moments(pixel, &mut self.sum, &mut self.squares, &mut self.zeros);
            }
            if self.detail == Detail::Signature {
                add_projections(pixel, weight(number), &mut self.projections);
            }
        }
        self.values += (values.len() / channels) as u64;
    }

    /// Adds the sums over other images.
    pub(super) fn add(&mut self, other: &Self) {
        self.values += other.values;
        combine(&mut self.min, &other.min, f64::min);
        combine(&mut self.max, &other.max, f64::max);
        let plus = |sums: &mut Vec<f64>, others: &Vec<f64>| combine(sums, others, |a, b| a + b);
        plus(&mut self.sum, &other.sum);
        plus(&mut self.squares, &other.squares);
        plus(&mut self.zeros, &other.zeros);
        for (sums, others) in self.projections.iter_mut().zip(&other.projections) {
            plus(sums, others);
        }
    }

    /// Each channel's numbers.
    pub(super) fn statistics(&self) -> Vec<ChannelStatistics> {
        let count = self.values as f64;
        let statistics = |channel: usize| {
            let mean = self.sum[channel] / count;
            ChannelStatistics {
                min: self.min[channel],
                max: self.max[channel],
                mean,
                variance: (self.squares[channel] / count - mean * mean).max(0.),
                zeros: self.zeros[channel] / count,
            }
        };
        (0..self.min.len()).map(statistics).collect()
    }

    /// The number that a channel gave everywhere; `None` where it gave several, or one that is
    /// none. Needs moments.
    pub(super) fn only_value(&self, channel: usize) -> Option<f64> {
        let value = self.max[channel];
        (self.min[channel] == value && self.sum[channel].is_finite()).then_some(value)
    }

    /// The numbers of all channels together.
    pub(super) fn spread(&self) -> Spread {
        let count = self.values as f64 * self.min.len() as f64;
        let mean = self.sum.iter().sum::<f64>() / count;
        Spread {
            mean,
            std: (self.squares.iter().sum::<f64>() / count - mean * mean)
                .max(0.)
                .sqrt(),
            min: self.min.iter().copied().fold(f64::NAN, f64::min),
            max: self.max.iter().copied().fold(f64::NAN, f64::max),
            zeros: self.zeros.iter().sum::<f64>() / count,
        }
    }

    /// The largest magnitude.
    pub(super) fn largest(&self) -> f64 {
        self.min
            .iter()
            .zip(&self.max)
            .map(|(min, max)| min.abs().max(max.abs()))
            .fold(0., f64::max)
    }
}

fn combine(sums: &mut [f64], others: &[f64], f: impl Fn(f64, f64) -> f64) {
    sums.iter_mut()
        .zip(others)
        .for_each(|(sum, &other)| *sum = f(*sum, other));
}

// Loops of their own: each is short enough to be compiled for several channels at once.

fn add_range<T: Copy + Into<f64>>(pixel: &[T], min: &mut [f64], max: &mut [f64]) {
    for ((&value, min), max) in pixel.iter().zip(min).zip(max) {
        let value = value.into();
        *min = if value < *min { value } else { *min };
        *max = if value > *max { value } else { *max };
    }
}

fn add_moments<T: Copy + Into<f64>>(
    pixel: &[T],
    sum: &mut [f64],
    squares: &mut [f64],
    zeros: &mut [f64],
) {
    for (((&value, sum), squares), zeros) in pixel.iter().zip(sum).zip(squares).zip(zeros) {
        let value = value.into();
        *sum += value;
        *squares += value * value;
        *zeros += if value == 0. { 1. } else { 0. };
    }
}

fn add_projections<T: Copy + Into<f64>>(
    pixel: &[T],
    [first, second]: [f64; PROJECTIONS],
    [ones, others]: &mut [Vec<f64>; PROJECTIONS],
) {
    for ((&value, one), other) in pixel.iter().zip(ones).zip(others) {
        let value = value.into();
        *one += first * value;
        *other += second * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_two_images_are_those_of_all_pixels() {
        // Two channels; the first image has two pixels, the second one.
        let images: [&[f32]; 2] = [&[1., 5., 0., 5.], &[3., 5.]];
        let mut sums = ChannelSums::new(2, Detail::Signature);
        for values in images {
            let mut part = ChannelSums::new(2, Detail::Signature);
            part.add_image(values, |pixel| [1., pixel as f64]);
            sums.add(&part);
        }
        let [first, second] = sums.statistics()[..] else {
            unreachable!("there are two channels")
        };
        assert_eq!((first.min, first.max, first.zeros), (0., 3., 1. / 3.));
        assert!(
            (first.mean - 4. / 3.).abs() < 1e-12 && (first.variance - 14. / 9.).abs() < 1e-12,
            "{first:?}"
        );
        assert!(second.is_constant() && !first.is_constant());
        assert_eq!(sums.projections, [vec![4., 15.], vec![0., 5.]]);
        assert_eq!(
            (sums.spread().min, sums.spread().max, sums.largest()),
            (0., 5., 5.)
        );
    }

    #[test]
    fn a_channel_with_nan_is_not_constant() {
        let mut sums = ChannelSums::new(1, Detail::Moments);
        sums.add_image(&[2f32, f32::NAN, 2.], |_| [0.; 2]);
        assert!(!sums.statistics()[0].is_constant());
    }
}
