//! What each bin of a region reads along one axis.

use super::regions::Span;
use crate::autograd::element::Element;

/// A place of the map, and how much a bin has of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tap<T> {
    pub(super) place: usize,
    pub(super) weight: T,
}

/// How a region is sampled along an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampling {
    /// Bins of the region.
    pub(super) bins: usize,
    /// Samples of a bin; `None`: as many as it has pixels, rounded up.
    pub(super) samples: Option<usize>,
    /// Whether a pixel's centre lies at its number, rather than half a pixel behind it.
    pub(super) aligned: bool,
}

/// For each bin its places, ascending: the mean of its samples along the axis, each a blend of two
/// pixels. A sample more than a pixel outside of the map is 0.
pub(super) fn taps<T: Element>(
    span: Span,
    spatial_scale: f64,
    input: usize,
    sampling: &Sampling,
) -> Vec<Vec<Tap<T>>> {
    let offset = T::from_f64(if sampling.aligned { 0.5 } else { 0. });
    let [start, end] = span.on_map::<T>(spatial_scale).map(|edge| edge - offset);
    let mut size = end - start;
    // As before there was `aligned`: a region has a pixel at least.
    if !sampling.aligned && size < T::one() {
        size = T::one();
    }
    let bin_size = size / T::from_f64(sampling.bins as f64);
    let samples = match sampling.samples {
        Some(samples) => samples,
        // None of a region whose edges are the wrong way round: a cast stops at 0.
        None => bin_size.to_f64().ceil() as usize,
    };
    let count = T::from_f64(samples as f64);
    let taps_of = |bin: usize| {
        let first = start + T::from_f64(bin as f64) * bin_size;
        let mut taps = Vec::with_capacity(samples + 1);
        for sample in 0..samples {
            let within = T::from_f64(sample as f64 + 0.5) * bin_size / count;
            add_sample(first + within, input, count, &mut taps);
        }
        taps
    };
    (0..sampling.bins).map(taps_of).collect()
}

/// Adds a sample at a position, of `count` in a bin; positions ascend.
fn add_sample<T: Element>(position: T, input: usize, count: T, taps: &mut Vec<Tap<T>>) {
    let outside = position.to_f64() < -1. || position.to_f64() > input as f64;
    if outside {
        return;
    }
    let position = position.at_least_zero();
    let below = position.to_f64() as usize;
    if below + 1 >= input {
        add(input - 1, T::one() / count, taps);
        return;
    }
    let above = position - T::from_f64(below as f64);
    add(below, (T::one() - above) / count, taps);
    add(below + 1, above / count, taps);
}

/// Adds to a place, which is one of the last two or lies behind them.
fn add<T: Element>(place: usize, weight: T, taps: &mut Vec<Tap<T>>) {
    let last = taps.len().saturating_sub(2);
    match taps[last..].iter_mut().find(|tap| tap.place == place) {
        Some(tap) => tap.weight += weight,
        None => taps.push(Tap { place, weight }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SAMPLING: Sampling = Sampling {
        bins: 2,
        samples: Some(2),
        aligned: true,
    };

    fn on(start: f32, end: f32, sampling: &Sampling) -> Vec<Vec<Tap<f64>>> {
        taps(Span { start, end }, 1., 6, sampling)
    }

    #[test]
    fn samples_of_one_pixel_are_one_tap() {
        // Bins of a pixel each, samples at 1.25, 1.75 and at 2.25, 2.75 less the half.
        let tap = |place, weight| Tap { place, weight };
        let expected = [
            [tap(0, 0.125), tap(1, 0.75), tap(2, 0.125)],
            [tap(1, 0.125), tap(2, 0.75), tap(3, 0.125)],
        ];
        assert_eq!(on(1., 3., &SAMPLING), expected);
    }

    #[test]
    fn weights_within_the_map_are_one_and_those_outside_nothing() {
        let sums = |taps: Vec<Vec<Tap<f64>>>| -> Vec<f64> {
            let sums = taps
                .iter()
                .map(|taps| taps.iter().map(|tap| tap.weight).sum());
            sums.collect()
        };
        assert_eq!(sums(on(0., 6., &SAMPLING)), [1., 1.]);
        assert_eq!(sums(on(-50., -40., &SAMPLING)), [0., 0.]);
        assert_eq!(sums(on(-6., 6., &SAMPLING)), [0., 1.]);
        let adaptive = Sampling {
            samples: None,
            ..SAMPLING
        };
        assert_eq!(on(4., 2., &adaptive), [[], []]);
        assert_eq!(on(2., 2., &adaptive), [[], []]);
        let a_pixel = Sampling {
            aligned: false,
            ..adaptive
        };
        assert_eq!(sums(on(2., 2., &a_pixel)), [1., 1.]);
    }
}
