//! Some of a map's channels, and channels in another order.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;

use crate::autograd::combine::check_alike;
use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::error::Checked;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;
use crate::machine::simd::Simd;
use crate::{Error, FeatureMap};

/// Some neighbouring channels of a map.
#[derive(Debug, Clone)]
pub struct ChannelRange<'a> {
    /// The map.
    pub map: &'a FeatureMap,
    /// Which of its channels.
    pub channels: Range<usize>,
}

/// Some neighbouring channels of a map: `(N, H, W, C)` to `(N, H, W, channels.len())`.
/// Differentiable.
///
/// # Errors
/// If the map does not have these channels, or there are none of them.
pub fn channel_slice(xs: &FeatureMap, channels: Range<usize>) -> Result<FeatureMap> {
    const OP: &str = "channel_slice";
    check_range(OP, xs, &channels)?;
    let kernel = Slice {
        pixels: check_alike(OP, &[xs])?,
        all: xs.channels(),
        channels,
    };
    apply(kernel, &[xs], &[])
}

/// The channels of `groups` groups in turn: the first of each group, then the second of each, so
/// that channel `k` of group `i` becomes channel `k · groups + i` (Zhang et al. 2017, "ShuffleNet").
/// Differentiable.
///
/// # Shapes
/// `(N, H, W, C)` to the same.
///
/// # Errors
/// If the groups do not divide the channels.
pub fn channel_shuffle(xs: &FeatureMap, groups: usize) -> Result<FeatureMap> {
    const OP: &str = "channel_shuffle";
    let all = xs.channels();
    if groups == 0 || !all.is_multiple_of(groups) {
        return Err(Error::Argument {
            op: OP,
            what: "groups",
            found: groups.to_string(),
            expected: format!("a divisor of the {all} channels"),
        }
        .into());
    }
    let count = all / groups;
    let rows = (0..groups).map(|group| Row {
        map: 0,
        first: group * count,
    });
    let kernel = Interleave {
        pixels: check_alike(OP, &[xs])?,
        channels: vec![all],
        rows: rows.collect(),
        count,
    };
    apply(kernel, &[xs], &[])
}

/// The channels of several parts in turn, which is [`channel_shuffle`] of the parts one after
/// another, in one pass: the first channel of each part, then the second of each. Differentiable.
///
/// # Shapes
/// Parts of `C` channels each to `(N, H, W, parts · C)`.
///
/// # Errors
/// If there is no part, a map lacks the channels, or batch, height, width or the number of channels
/// differ.
pub fn interleave(parts: &[ChannelRange<'_>]) -> Result<FeatureMap> {
    const OP: &str = "interleave";
    let maps: Vec<&FeatureMap> = parts.iter().map(|part| part.map).collect();
    let pixels = check_alike(OP, &maps)?;
    let count = parts[0].channels.len();
    for part in parts {
        check_range(OP, part.map, &part.channels)?;
        if part.channels.len() != count {
            return Err(Error::Argument {
                op: OP,
                what: "the number of a part's channels",
                found: part.channels.len().to_string(),
                expected: format!("{count} as the first part's"),
            }
            .into());
        }
    }
    let rows = parts.iter().enumerate().map(|(map, part)| Row {
        map,
        first: part.channels.start,
    });
    let kernel = Interleave {
        pixels,
        channels: maps.iter().map(|map| map.channels()).collect(),
        rows: rows.collect(),
        count,
    };
    apply(kernel, &maps, &[])
}

fn check_range(op: &'static str, xs: &FeatureMap, channels: &Range<usize>) -> Checked<()> {
    if !channels.is_empty() && channels.end <= xs.channels() {
        return Ok(());
    }
    Err(Error::Argument {
        op,
        what: "the range of channels",
        found: format!("{channels:?}"),
        expected: format!("at least one of the channels 0..{}", xs.channels()),
    })
}

/// Pixels per parallel task.
const PIXELS: usize = 256;

/// `len` values in tasks of whole pixels of `channels` values, which `fill` writes: it gets the
/// number of the task's first pixel and the values.
///
/// # Safety
/// `fill` writes every value.
unsafe fn pixels_of<T: Element>(
    pixels: [usize; 3],
    channels: usize,
    fill: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync,
) -> Vec<T> {
    let len = pixels.iter().product::<usize>() * channels;
    // SAFETY: the caller's promise.
    unsafe {
        filled_chunks(len, (PIXELS * channels).max(1), |start, values| {
            fill(start / channels.max(1), values);
        })
    }
}

struct Slice {
    /// N, H, W.
    pixels: [usize; 3],
    /// Channels of the input.
    all: usize,
    channels: Range<usize>,
}

impl Kernel for Slice {
    const NAME: &'static str = "channel_slice";

    fn output_shape(&self) -> Vec<usize> {
        let channels = [self.channels.len()];
        self.pixels.into_iter().chain(channels).collect()
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let count = self.channels.len();
        // SAFETY: each pixel is copied whole.
        unsafe {
            pixels_of(self.pixels, count, |first, ys| {
                for (pixel, ys) in (first..).zip(ys.chunks_exact_mut(count)) {
                    ys.write_copy_of_slice(&xs[pixel * self.all..][self.channels.clone()]);
                }
            })
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward { grad, wanted, .. } = pass;
        let count = self.channels.len();
        let of_input = || {
            // SAFETY: each pixel's channels are zeros or copied.
            let values = unsafe {
                pixels_of(self.pixels, self.all, |first, values| {
                    for (pixel, values) in (first..).zip(values.chunks_exact_mut(self.all)) {
                        zero(&mut values[..self.channels.start]);
                        zero(&mut values[self.channels.end..]);
                        let slice = &grad[pixel * count..][..count];
                        values[self.channels.clone()].write_copy_of_slice(slice);
                    }
                })
            };
            Buffer::shared(values)
        };
        vec![wanted.xs().then(of_input)]
    }
}

fn zero<T: Element>(values: &mut [MaybeUninit<T>]) {
    for value in values {
        value.write(T::zero());
    }
}

struct Interleave {
    /// N, H, W.
    pixels: [usize; 3],
    /// Of each map.
    channels: Vec<usize>,
    rows: Vec<Row>,
    /// Channels of each row.
    count: usize,
}

/// Neighbouring channels of a map, each of which comes after that of the row before.
#[derive(Debug, Clone, Copy)]
struct Row {
    map: usize,
    first: usize,
}

impl Kernel for Interleave {
    const NAME: &'static str = "channel_shuffle";

    fn output_shape(&self) -> Vec<usize> {
        let all = [self.rows.len() * self.count];
        self.pixels.into_iter().chain(all).collect()
    }

    fn maps(&self) -> usize {
        self.channels.len()
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn geometry(&self) -> String {
        format!("{} groups", self.rows.len())
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let all = self.rows.len() * self.count;
        // SAFETY: the rows are all channels of each pixel.
        unsafe {
            pixels_of(self.pixels, all, |first, ys| {
                vectorised(Gather {
                    kernel: self,
                    maps: inputs.maps(),
                    first,
                    ys,
                });
            })
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward { grad, wanted, .. } = pass;
        let of_map = |map: usize| {
            // SAFETY: the loop writes every value.
            let values = unsafe {
                pixels_of(self.pixels, self.channels[map], |first, values| {
                    vectorised(Scatter {
                        kernel: self,
                        map,
                        grad: &grad,
                        first,
                        values,
                    });
                })
            };
            Buffer::shared(values)
        };
        let wanted = wanted.all().iter().enumerate();
        wanted
            .map(|(map, wanted)| wanted.then(|| of_map(map)))
            .collect()
    }
}

/// Writes the pixels from `first` on.
struct Gather<'a, T> {
    kernel: &'a Interleave,
    maps: &'a [&'a [T]],
    first: usize,
    ys: &'a mut [MaybeUninit<T>],
}

impl<T: Element> Gather<'_, T> {
    fn row(&self, row: Row, pixel: usize) -> &[T] {
        let place = pixel * self.kernel.channels[row.map] + row.first;
        &self.maps[row.map][place..][..self.kernel.count]
    }
}

impl<T: Element> Loop for Gather<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let groups = self.kernel.rows.len();
        let all = groups * self.kernel.count;
        let ys = std::mem::take(&mut self.ys);
        for (pixel, ys) in (self.first..).zip(ys.chunks_exact_mut(all.max(1))) {
            // Two groups are what ShuffleNetV2 has, and what becomes moves of whole registers.
            if let [first, second] = self.kernel.rows[..] {
                let rows = self.row(first, pixel).iter().zip(self.row(second, pixel));
                for (pair, (&first, &second)) in ys.chunks_exact_mut(2).zip(rows) {
                    pair[0].write(first);
                    pair[1].write(second);
                }
                continue;
            }
            for (group, &row) in self.kernel.rows.iter().enumerate() {
                let places = ys[group..].iter_mut().step_by(groups);
                for (y, &x) in places.zip(self.row(row, pixel)) {
                    y.write(x);
                }
            }
        }
    }
}

/// Writes the gradient of one map's pixels from `first` on.
struct Scatter<'a, T> {
    kernel: &'a Interleave,
    map: usize,
    grad: &'a [T],
    first: usize,
    values: &'a mut [MaybeUninit<T>],
}

impl<T: Element> Loop for Scatter<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Interleave {
            channels,
            rows,
            count,
            ..
        } = self.kernel;
        let all = rows.len() * count;
        let rows = || {
            let rows = rows.iter().enumerate();
            rows.filter(|(_, row)| row.map == self.map)
        };
        // Rows of one map do not overlap: they are of one shuffle, or the only one.
        let covered = rows().count() * count == channels[self.map];
        let pixels = self.values.chunks_exact_mut(channels[self.map].max(1));
        for (pixel, values) in (self.first..).zip(pixels) {
            if !covered {
                zero(values);
            }
            let grad = &self.grad[pixel * all..][..all];
            for (group, row) in rows() {
                let of_row = values[row.first..][..*count].iter_mut();
                for (value, pair) in of_row.zip(grad.chunks_exact(self.kernel.rows.len())) {
                    value.write(pair[group]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::concat;
    use candle_core::{Device, Tensor};

    /// Maps whose values count from `start`.
    fn counted(shape: [usize; 4], start: f32) -> FeatureMap {
        let len = shape.iter().product::<usize>() as f32;
        let values = Tensor::arange(start, start + len, &Device::Cpu).unwrap();
        FeatureMap::from_nhwc(&values.reshape(&shape[..]).unwrap()).unwrap()
    }

    fn values(map: &FeatureMap) -> Vec<f32> {
        map.to_nhwc().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn interleaved_parts_are_their_shuffled_concatenation() {
        assert_eq!(
            values(&channel_shuffle(&counted([1, 1, 1, 6], 0.), 2).unwrap()),
            [0., 3., 1., 4., 2., 5.]
        );
        for (count, pixels) in [(1, 1), (3, 7), (58, 300)] {
            let maps = [0., 0.5, 0.25].map(|start| counted([2, 1, pixels, 2 * count], start));
            for parts in [2, 3] {
                let parts: Vec<ChannelRange<'_>> = maps[..parts]
                    .iter()
                    .map(|map| ChannelRange {
                        map,
                        channels: count..2 * count,
                    })
                    .collect();
                let slices: Vec<FeatureMap> = parts
                    .iter()
                    .map(|part| channel_slice(part.map, part.channels.clone()).unwrap())
                    .collect();
                let joined = concat(&slices.iter().collect::<Vec<_>>()).unwrap();
                let shuffled = channel_shuffle(&joined, parts.len()).unwrap();
                assert_eq!(values(&interleave(&parts).unwrap()), values(&shuffled));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let xs = counted([1, 2, 3, 4], 0.);
        let part = |channels| ChannelRange { map: &xs, channels };
        for (result, expected) in [
            (
                channel_shuffle(&xs, 3),
                "groups is 3, expected a divisor of the 4 channels",
            ),
            (channel_shuffle(&xs, 0), "groups is 0"),
            (
                channel_slice(&xs, 2..5),
                "the range of channels is 2..5, expected at least one of the channels 0..4",
            ),
            (channel_slice(&xs, 2..2), "the range of channels is 2..2"),
            (interleave(&[]), "number of maps is 0"),
            (
                interleave(&[part(0..2), part(1..2)]),
                "the number of a part's channels is 1, expected 2 as the first part's",
            ),
            (interleave(&[part(3..5)]), "the range of channels is 3..5"),
        ] {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
