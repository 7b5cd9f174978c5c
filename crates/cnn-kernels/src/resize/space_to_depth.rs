//! Pixels of a block as channels of one pixel.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::Arc;

use candle_core::Result;

use crate::FeatureMap;
use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::error::Error;
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;

const OP: &str = "space_to_depth";

/// The pixels of each 2×2 block as the channels of one pixel, column by column: upper left, lower
/// left, upper right, lower right, as YOLOX's `Focus` has them (Ge et al. 2021). Differentiable.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H / 2, W / 2, 4 C)`.
///
/// # Errors
/// If the height or the width is odd.
pub fn space_to_depth(xs: &FeatureMap) -> Result<FeatureMap> {
    let [count, height, width, channels] = xs.dims();
    if !height.is_multiple_of(2) || !width.is_multiple_of(2) {
        return Err(Error::Argument {
            op: OP,
            what: "height and width of the map",
            found: format!("{height} and {width}"),
            expected: "even numbers".to_string(),
        }
        .into());
    }
    let kernel = SpaceToDepth {
        count,
        height: height / 2,
        width: width / 2,
        channels,
    };
    apply(kernel, &[xs], &[])
}

/// Sizes of the output; `channels` are the input's.
struct SpaceToDepth {
    count: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl SpaceToDepth {
    /// Values in a row of the output, which are those of two rows of the input.
    fn row(&self) -> usize {
        self.width * 4 * self.channels
    }

    /// Copies the two rows of the input that a row of the output is made of.
    fn gather<T: Element>(&self, rows: &[T], ys: &mut [MaybeUninit<T>]) {
        let channels = self.channels;
        let (upper, lower) = rows.split_at(self.row() / 2);
        let pixels = upper
            .chunks_exact(channels)
            .zip(lower.chunks_exact(channels));
        for ((upper, lower), ys) in pixels.zip(ys.chunks_exact_mut(2 * channels)) {
            ys[..channels].write_copy_of_slice(upper);
            ys[channels..].write_copy_of_slice(lower);
        }
    }

    /// Undoes [`gather`](Self::gather).
    fn scatter<T: Element>(&self, ys: &[T], rows: &mut [MaybeUninit<T>]) {
        let channels = self.channels;
        let (upper, lower) = rows.split_at_mut(self.row() / 2);
        let pixels = upper
            .chunks_exact_mut(channels)
            .zip(lower.chunks_exact_mut(channels));
        for ((upper, lower), ys) in pixels.zip(ys.chunks_exact(2 * channels)) {
            upper.write_copy_of_slice(&ys[..channels]);
            lower.write_copy_of_slice(&ys[channels..]);
        }
    }

    /// A map of the input's or the output's size, made pair of rows by pair of rows of another.
    fn by_rows<T: Element>(
        &self,
        from: &[T],
        fill: impl Fn(&[T], &mut [MaybeUninit<T>]) + Sync,
    ) -> Vec<T> {
        let row = self.row();
        let len = self.count * self.height * row;
        // SAFETY: both ways of filling write as many values as a row of the output has.
        unsafe {
            filled_chunks(len, row.max(1), |start, values| {
                fill(&from[start..][..values.len()], values);
            })
        }
    }
}

impl Kernel for SpaceToDepth {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        vec![self.count, self.height, self.width, 4 * self.channels]
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        self.by_rows(inputs.xs(), |rows, ys| self.gather(rows, ys))
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward { grad, wanted, .. } = pass;
        let of_input = || Buffer::shared(self.by_rows(&grad, |ys, rows| self.scatter(ys, rows)));
        vec![wanted.xs().then(of_input)]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Tensor, Var};

    use super::*;

    /// torch.cat([xs[..., row::2, column::2] for column in (0, 1) for row in (0, 1)], 1)
    #[test]
    fn blocks_become_channels_and_their_gradients_go_back() {
        let values: Vec<f32> = (0..2 * 4 * 6 * 3).map(|value| value as f32).collect();
        let xs = Var::from_vec(values, (2, 4, 6, 3), &Device::Cpu).unwrap();
        let ys = space_to_depth(&FeatureMap::from_nhwc(&xs).unwrap()).unwrap();
        assert_eq!(ys.dims(), [2, 2, 3, 12]);
        let ys = ys.to_nhwc();
        let of = |place: [usize; 4]| {
            let at = |tensor: &Tensor| tensor.get(place[0]).unwrap().get(place[1]).unwrap();
            at(&ys).get(place[2]).unwrap().get(place[3]).unwrap()
        };
        let pixel = |image: usize, row: usize, column: usize, channel: usize| {
            (((image * 4 + row) * 6 + column) * 3 + channel) as f32
        };
        let read = |place| of(place).to_scalar::<f32>().unwrap();
        assert_eq!(read([1, 1, 2, 0]), pixel(1, 2, 4, 0));
        assert_eq!(read([1, 1, 2, 4]), pixel(1, 3, 4, 1));
        assert_eq!(read([1, 1, 2, 8]), pixel(1, 2, 5, 2));
        assert_eq!(read([0, 0, 1, 10]), pixel(0, 1, 3, 1));

        // The gradient of Σ y² is 2 x, at the same places.
        let loss = ys.sqr().unwrap().sum_all().unwrap();
        let grads = crate::backward(&loss).unwrap();
        let grad = grads.get(&xs).unwrap().flatten_all().unwrap();
        let expected = (xs.as_tensor() * 2.).unwrap().flatten_all().unwrap();
        assert_eq!(
            grad.to_vec1::<f32>().unwrap(),
            expected.to_vec1::<f32>().unwrap()
        );
    }

    #[test]
    fn odd_sizes_are_named() {
        let xs = Tensor::zeros((1, 4, 5, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let error = space_to_depth(&FeatureMap::from_nhwc(&xs).unwrap()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("4 and 5"), "{message}");
    }
}
