//! Joining feature maps: residual addition and concatenation over channels.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::Arc;

use candle_core::Result;

use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::error::Checked;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;
use crate::machine::simd::Simd;
use crate::{Error, FeatureMap};

/// Element-wise sum of two maps of one shape, the residual connection (He et al. 2015).
/// Differentiable.
///
/// # Errors
/// If shapes or element types differ: nothing is broadcast.
pub fn add(xs: &FeatureMap, ys: &FeatureMap) -> Result<FeatureMap> {
    if xs.dims() != ys.dims() {
        let expected = format!("{:?} as the first (N, H, W, C)", xs.dims());
        return Err(Error::Shape {
            op: "add",
            what: "the second map",
            found: ys.dims().to_vec(),
            expected,
        }
        .into());
    }
    apply(Add { dims: xs.dims() }, &[xs, ys], &[])
}

/// The channels of all maps one after another: `(N, H, W, C₁ + C₂ + …)`. Differentiable.
///
/// # Errors
/// If there is no map or batch, height, width or element type differ.
pub fn concat(maps: &[&FeatureMap]) -> Result<FeatureMap> {
    let kernel = Concat {
        pixels: check_alike("concat", maps)?,
        channels: maps.iter().map(|map| map.channels()).collect(),
    };
    apply(kernel, maps, &[])
}

/// Batch, height and width, which all maps have to share.
pub(crate) fn check_alike(op: &'static str, maps: &[&FeatureMap]) -> Checked<[usize; 3]> {
    let Some(first) = maps.first() else {
        return Err(Error::Argument {
            op,
            what: "number of maps",
            found: "0".to_string(),
            expected: "at least 1".to_string(),
        });
    };
    let [n, h, w, _] = first.dims();
    match maps.iter().find(|map| map.dims()[..3] != [n, h, w]) {
        Some(other) => Err(Error::Shape {
            op,
            what: "a map",
            found: other.dims().to_vec(),
            expected: format!("{:?} and any channels (N, H, W, C)", [n, h, w]),
        }),
        None => Ok([n, h, w]),
    }
}

/// Elements per parallel task.
const CHUNK: usize = 1 << 14;

struct Add {
    dims: [usize; 4],
}

impl Kernel for Add {
    const NAME: &'static str = "add";

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn maps(&self) -> usize {
        2
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let ys = inputs.addend().expect("a sum has two maps");
        // SAFETY: the loop writes every element.
        unsafe {
            filled_chunks(xs.len(), CHUNK, |start, sums| {
                let range = start..start + sums.len();
                vectorised(Sums {
                    xs: &xs[range.clone()],
                    ys: &ys[range],
                    sums,
                });
            })
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let grad = pass.grad.into_shared();
        let wanted = pass.wanted.all().iter();
        wanted.map(|wanted| wanted.then(|| grad.clone())).collect()
    }
}

struct Sums<'a, T> {
    xs: &'a [T],
    ys: &'a [T],
    sums: &'a mut [MaybeUninit<T>],
}

impl<T: Element> Loop for Sums<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for ((sum, &x), &y) in self.sums.iter_mut().zip(self.xs).zip(self.ys) {
            sum.write(x + y);
        }
    }
}

/// Pixels per parallel task.
const PIXELS: usize = 256;

struct Concat {
    pixels: [usize; 3],
    /// Of each map.
    channels: Vec<usize>,
}

impl Concat {
    fn all_channels(&self) -> usize {
        self.channels.iter().sum()
    }
}

impl Kernel for Concat {
    const NAME: &'static str = "concat";

    fn output_shape(&self) -> Vec<usize> {
        self.pixels
            .into_iter()
            .chain([self.all_channels()])
            .collect()
    }

    fn maps(&self) -> usize {
        self.channels.len()
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let all = self.all_channels();
        let len = self.output_shape().iter().product();
        // SAFETY: the maps' channels fill each pixel.
        unsafe {
            filled_chunks(len, PIXELS * all, |start, ys| {
                for (pixel, ys) in (start / all..).zip(ys.chunks_exact_mut(all)) {
                    let mut rest = ys;
                    for (xs, &channels) in inputs.maps().iter().zip(&self.channels) {
                        let (part, others) = rest.split_at_mut(channels);
                        part.write_copy_of_slice(&xs[pixel * channels..][..channels]);
                        rest = others;
                    }
                }
            })
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward { grad, wanted, .. } = pass;
        let all = self.all_channels();
        let pixels: usize = self.pixels.iter().product();
        let starts = self.channels.iter().scan(0, |sum, channels| {
            Some(std::mem::replace(sum, *sum + channels))
        });
        let part = |(first, &channels): (usize, &usize)| {
            // SAFETY: each pixel is copied whole.
            let values = unsafe {
                filled_chunks(pixels * channels, PIXELS * channels, |start, part| {
                    for (pixel, part) in (start / channels..).zip(part.chunks_exact_mut(channels)) {
                        part.write_copy_of_slice(&grad[pixel * all + first..][..channels]);
                    }
                })
            };
            Buffer::shared(values)
        };
        let parts = starts.zip(&self.channels).zip(wanted.all());
        parts
            .map(|(place, wanted)| wanted.then(|| part(place)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device, Tensor};

    fn map(shape: [usize; 4]) -> FeatureMap {
        FeatureMap::from_nhwc(&Tensor::ones(&shape[..], DType::F32, &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn shapes_must_agree() {
        assert_eq!(
            concat(&[&map([1, 2, 3, 4]), &map([1, 2, 3, 5])])
                .unwrap()
                .dims(),
            [1, 2, 3, 9]
        );
        let message = concat(&[&map([1, 2, 3, 4]), &map([1, 3, 3, 4])])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("a map has shape [1, 3, 3, 4], expected [1, 2, 3]"),
            "{message}"
        );
        let message = add(&map([1, 2, 3, 4]), &map([1, 2, 3, 1]))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("[1, 2, 3, 1], expected [1, 2, 3, 4]"),
            "{message}"
        );
        assert!(concat(&[]).is_err());
    }
}
