//! Group normalisation over some channels of all pixels of an image (Wu & He 2018,
//! <https://arxiv.org/abs/1803.08494>).
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::iter::repeat_n;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor};

use crate::activation::on_registers::Identity;
use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, apply};
use crate::machine::parallel;
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;
use crate::norm::affine::{
    Centre, Normalise, Passed, affine, all_rounded, inverse_std, of_parameters,
};
use crate::norm::channel_map::{Target, map_channels};
use crate::norm::channel_sums::channel_sums;
use crate::norm::moments::Moments;
use crate::{Error, FeatureMap};

/// `(x − mean) / √(var + eps) · weight + bias` with mean and biased variance over a group of
/// neighbouring channels of all pixels of an image; without `affine`, the weight and the bias, only
/// the quotient. Differentiable.
///
/// # Shapes
/// `xs` `(N, H, W, C)`; weight and bias `(C)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_kernels::{FeatureMap, group_norm};
///
/// // Two pixels of four channels, which are two groups.
/// let values = Tensor::new(&[[[[1f64, 3., 0., 0.], [1., 3., 8., 8.]]]], &Device::Cpu)?;
/// let ys = group_norm(&FeatureMap::from_nhwc(&values)?, 2, None, 0.)?;
/// let expected = [-1., 1., -1., -1., -1., 1., 1., 1.];
/// assert_eq!(ys.to_nhwc().flatten_all()?.to_vec1::<f64>()?, expected);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// If shapes or element types differ, or `groups` does not divide the channels.
pub fn group_norm(
    xs: &FeatureMap,
    groups: usize,
    affine: Option<[&Tensor; 2]>,
    eps: f64,
) -> Result<FeatureMap> {
    let channels = xs.channels();
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(Error::Argument {
            op: GroupNorm::NAME,
            what: "groups",
            found: groups.to_string(),
            expected: format!("a divisor of {channels} channels"),
        }
        .into());
    }
    let parameters = affine.as_ref().map_or(&[][..], |affine| &affine[..]);
    for (what, vector) in ["the weight", "the bias"].into_iter().zip(parameters) {
        if vector.dims() != [channels] {
            return Err(Error::Shape {
                op: GroupNorm::NAME,
                what,
                found: vector.dims().to_vec(),
                expected: format!("[{channels}], one per channel"),
            }
            .into());
        }
    }
    let kernel = GroupNorm {
        dims: xs.dims(),
        groups,
        eps,
        is_affine: affine.is_some(),
        moments: OnceLock::new(),
    };
    apply(kernel, &[xs], parameters)
}

/// Elements per parallel task, about.
const CHUNK: usize = 1 << 14;

struct GroupNorm {
    dims: [usize; 4],
    groups: usize,
    eps: f64,
    /// Whether there are a weight and a bias.
    is_affine: bool,
    /// Those of each image, for each channel those of its group; set by the forward pass.
    moments: OnceLock<Vec<Moments>>,
}

impl GroupNorm {
    fn channels(&self) -> usize {
        self.dims[3]
    }

    /// Channels of a group.
    fn group(&self) -> usize {
        (self.channels() / self.groups).max(1)
    }

    /// Values of an image.
    fn image(&self) -> usize {
        self.dims[1..].iter().product()
    }

    /// How many images there are that have a value.
    fn images(&self) -> usize {
        if self.image() == 0 { 0 } else { self.dims[0] }
    }

    /// Elements of a parallel task: whole pixels.
    fn chunk(&self) -> usize {
        CHUNK.next_multiple_of(self.channels().max(1))
    }

    fn values_of(&self, image: usize) -> Range<usize> {
        image * self.image()..(image + 1) * self.image()
    }

    /// The images that a task's values belong to, with those of them that are each image's.
    fn by_image(&self, values: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let image = self.image().max(1);
        let images = values.start / image..values.end.div_ceil(image);
        images.map(move |number| {
            let start = values.start.max(number * image);
            (number, start..values.end.min((number + 1) * image))
        })
    }

    /// Weight and bias, or what changes nothing.
    fn parameters<'a, T: Element>(&self, inputs: Inputs<'a, T>) -> [Cow<'a, [T]>; 2] {
        if self.is_affine {
            return inputs.parameters().map(Cow::Borrowed);
        }
        [T::one(), T::zero()].map(|value| Cow::Owned(vec![value; self.channels()]))
    }

    fn moments_of<T: Element>(&self, xs: &[T], image: usize) -> Moments {
        let Moments { mean, var } = Moments::of_batch(&xs[self.values_of(image)], self.channels());
        let mut of_groups = Moments {
            mean: Vec::with_capacity(mean.len()),
            var: Vec::with_capacity(mean.len()),
        };
        let group = self.group();
        for (means, vars) in mean.chunks(group).zip(var.chunks(group)) {
            let average = means.iter().sum::<f64>() / group as f64;
            // All channels have as many values, so the variances of their groups are averages.
            let squares = means.iter().zip(vars);
            let squares = squares.map(|(mean, var)| var + (mean - average).powi(2));
            let variance = squares.sum::<f64>() / group as f64;
            of_groups.mean.extend(repeat_n(average, group));
            of_groups.var.extend(repeat_n(variance, group));
        }
        of_groups
    }

    /// `(Σ dy · x̂, Σ dy)` per channel of an image.
    fn sums_of<T: Element>(
        &self,
        [xs, grad]: [&[T]; 2],
        parameters: [&[T]; 2],
        moments: &Moments,
        image: usize,
    ) -> [Vec<f64>; 2] {
        let vectors: [Vec<T>; 3] = all_rounded(affine(parameters, moments, self.eps));
        let vectors = vectors.each_ref().map(Vec::as_slice);
        let maps = [xs, grad].map(|map| &map[self.values_of(image)]);
        let sums = channel_sums(maps, vectors, self.channels(), &Passed(Identity));
        of_parameters::<T>(sums, moments, self.eps)
    }

    /// The channels' values of [`Centre`] in an image with these sums: with `d = dy · weight`, the
    /// input's gradient is `(d − mean(d) − x̂ · mean(d · x̂)) / √(var + eps)`.
    fn centring<T: Element>(
        &self,
        parameters: [&[T]; 2],
        moments: &Moments,
        [of_weight, of_bias]: &[Vec<f64>; 2],
    ) -> [Vec<T>; 5] {
        let [mean, scale, shift] = affine(parameters, moments, self.eps);
        let inverse_std = inverse_std(moments, self.eps);
        let count = (self.image() / self.groups) as f64;
        let weight = parameters[0];
        let mut through_x = Vec::with_capacity(weight.len());
        let mut constant = Vec::with_capacity(weight.len());
        for first in (0..weight.len()).step_by(self.group()) {
            let channels = first..first + self.group();
            let mean_of = |sums: &[f64]| {
                let channels = sums[channels.clone()].iter().zip(&weight[channels.clone()]);
                channels.map(|(sum, w)| sum * w.to_f64()).sum::<f64>() / count
            };
            let inverse_std = inverse_std[first];
            let slope = -inverse_std * inverse_std * mean_of(of_weight);
            through_x.extend(repeat_n(slope, self.group()));
            constant.extend(repeat_n(-inverse_std * mean_of(of_bias), self.group()));
        }
        all_rounded([mean, scale, shift, through_x, constant])
    }
}

impl Kernel for GroupNorm {
    const NAME: &'static str = "group_norm";

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn reads_twice(&self) -> bool {
        true
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let channels = self.channels();
        let moments = self
            .moments
            .get_or_init(|| parallel::map(self.images(), |image| self.moments_of(xs, image)));
        let parameters = self.parameters(inputs);
        let parameters = parameters.each_ref().map(|values| &**values);
        let of_image = |moments| all_rounded(affine(parameters, moments, self.eps));
        let vectors: Vec<[Vec<T>; 3]> = moments.iter().map(of_image).collect();
        // SAFETY: each chunk is whole pixels, of which every value is written, and the map has them
        // all.
        unsafe {
            filled_chunks(xs.len(), self.chunk(), |start, ys| {
                for (image, values) in self.by_image(start..start + ys.len()) {
                    let part = &mut ys[values.start - start..values.end - start];
                    let target = Target {
                        values: part.as_mut_ptr().cast(),
                        pixels: part.len() / channels.max(1),
                        channels,
                    };
                    let vectors = vectors[image].each_ref().map(Vec::as_slice);
                    let from = xs[values].as_ptr();
                    map_channels([from], vectors, target, &Normalise(Identity));
                }
            })
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward {
            inputs,
            grad,
            wanted,
            ..
        } = pass;
        let xs = inputs.xs();
        let channels = self.channels();
        let moments = self.moments.get().expect("the forward pass has run");
        let parameters = self.parameters(inputs);
        let parameters = parameters.each_ref().map(|values| &**values);
        let sums: Vec<[Vec<f64>; 2]> = parallel::map(moments.len(), |image| {
            self.sums_of([xs, &grad], parameters, &moments[image], image)
        });
        let of_input = wanted.xs().then(|| {
            let of_image = |(moments, sums)| self.centring(parameters, moments, sums);
            let vectors: Vec<[Vec<T>; 5]> = moments.iter().zip(&sums).map(of_image).collect();
            grad.updated(self.chunk(), |start, grad| {
                for (image, values) in self.by_image(start..start + grad.len()) {
                    let part = &mut grad[values.start - start..values.end - start];
                    let target = Target {
                        values: part.as_mut_ptr(),
                        pixels: part.len() / channels.max(1),
                        channels,
                    };
                    let vectors = vectors[image].each_ref().map(Vec::as_slice);
                    let maps = [xs[values].as_ptr(), target.values.cast_const()];
                    // SAFETY: a part is whole pixels, which both maps have.
                    unsafe { map_channels(maps, vectors, target, &Centre(Identity)) };
                }
            })
        });
        if !self.is_affine {
            return vec![of_input];
        }
        let total = |which: usize| {
            let mut total = vec![0.; channels];
            for of_image in &sums {
                let terms = total.iter_mut().zip(&of_image[which]);
                terms.for_each(|(total, sum)| *total += sum);
            }
            Buffer::shared(total.into_iter().map(T::from_f64).collect())
        };
        vec![
            of_input,
            wanted.weight().then(|| total(0)),
            (wanted.bias() == Some(true)).then(|| total(1)),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn groups_that_do_not_divide_the_channels_and_wrong_vectors_are_errors() {
        let tensor = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let xs = FeatureMap::from_nhwc(&tensor(&[2, 3, 4, 6])).unwrap();
        for groups in [0, 4, 12] {
            let message = group_norm(&xs, groups, None, 1e-5).unwrap_err().to_string();
            let expected = format!("groups is {groups}, expected a divisor of 6 channels");
            assert!(message.contains(&expected), "{message}");
        }
        let [fits, short] = [tensor(&[6]), tensor(&[3])];
        for (affine, what) in [
            ([&short, &fits], "the weight"),
            ([&fits, &short], "the bias"),
        ] {
            let error = group_norm(&xs, 3, Some(affine), 1e-5).unwrap_err();
            let expected = format!("{what} has shape [3], expected [6], one per channel");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }

    /// A mean that is thousands of times the deviation takes no digits from it, and images do not
    /// see each other.
    #[test]
    fn a_large_mean_costs_no_accuracy() {
        let [height, width, channels] = [31, 29, 8];
        // Multiples of 2⁻⁸, which are numbers of f32 with either mean.
        let image = |mean: f64| {
            let values = 0..height * width * channels;
            values.map(move |i| mean + (i * 7919 % 1024) as f64 / 256.)
        };
        let images: Vec<f64> = image(0.).chain(image(8192.)).collect();
        let run = |dtype: DType| {
            let shape = (2, height, width, channels);
            let xs = Tensor::from_slice(&images, shape, &Device::Cpu).unwrap();
            let xs = FeatureMap::from_nhwc(&xs.to_dtype(dtype).unwrap()).unwrap();
            let ys = group_norm(&xs, 2, None, 1e-5).unwrap().flatten().unwrap();
            ys.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap()
        };
        let [single, double] = [DType::F32, DType::F64].map(run);
        for (single, double) in single.iter().flatten().zip(double.iter().flatten()) {
            assert!((single - double).abs() < 2e-6, "{single} {double}");
        }
        for (with, without) in double[1].iter().zip(&double[0]) {
            assert!((with - without).abs() < 1e-9, "{with} {without}");
        }
    }
}
