//! The gradients of a convolution outside any graph, as PyTorch's `torch.nn.grad.conv2d_input` and
//! `conv2d_weight`.

use candle_core::{Result, Tensor};

use crate::autograd::feature_map::Held;
use crate::autograd::kernel::{Kernel, gradients};
use crate::conv2d::Convolution;
use crate::error::Error;
use crate::{Conv2dSpec, FeatureMap};

/// The gradients of `Σ grad · conv2d(xs, weight)` with respect to `xs` and `weight`, `None` for
/// what is not wanted: what `backward` computes, without a graph.
///
/// # Shapes
/// As [`conv2d`](crate::conv2d()); `grad` has the output's shape.
///
/// # Errors
/// If a shape does not fit, with the numbers, or element types differ.
pub fn conv2d_gradients(
    xs: &FeatureMap,
    weight: &Tensor,
    grad: &FeatureMap,
    spec: &Conv2dSpec,
    [input_wanted, weight_wanted]: [bool; 2],
) -> Result<(Option<FeatureMap>, Option<Tensor>)> {
    let kernel = Convolution::new(xs.dims(), weight.dims(), None, spec)?;
    if grad.dims()[..] != kernel.output_shape()[..] {
        let op = "conv2d_gradients";
        let found = grad.dims().to_vec();
        let expected = format!("{:?} as the output", kernel.output_shape());
        return Err(Error::Shape {
            op,
            what: "the gradient",
            found,
            expected,
        }
        .into());
    }
    let xs = xs.values();
    let grad = grad.values();
    let mut grads =
        gradients(&kernel, &[xs, weight], grad, &[input_wanted, weight_wanted])?.into_iter();
    Ok((
        grads
            .next()
            .flatten()
            .map(|grad| FeatureMap::wrap(Held::ours(grad), None)),
        grads.next().flatten(),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn they_are_those_of_the_graph_and_only_what_is_wanted() {
        let var = |shape: [usize; 4]| Var::rand(-1f32, 1., &shape[..], &Device::Cpu).unwrap();
        let xs = var([2, 5, 7, 3]);
        let weight = var([4, 3, 3, 2]);
        let spec = Conv2dSpec::default();
        let map = FeatureMap::from_nhwc(&xs).unwrap();
        let ys = crate::conv2d(&map, &weight, None, &spec).unwrap();
        let graph = ys.to_nhwc().backward().unwrap();
        let ones = FeatureMap::from_nhwc(&ys.to_nhwc().ones_like().unwrap()).unwrap();
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (grad_xs, grad_weight) =
            conv2d_gradients(&map, &weight, &ones, &spec, [true, true]).unwrap();
        assert_eq!(
            values(&grad_xs.unwrap().to_nhwc()),
            values(graph.get(&xs).unwrap())
        );
        assert_eq!(
            values(&grad_weight.unwrap()),
            values(graph.get(&weight).unwrap())
        );
        let (grad_xs, grad_weight) =
            conv2d_gradients(&map, &weight, &ones, &spec, [false, true]).unwrap();
        assert!(grad_xs.is_none() && grad_weight.is_some());
        let wrong = conv2d_gradients(&map, &weight, &map, &spec, [true, true])
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains(
                "the gradient has shape [2, 5, 7, 3], expected [2, 3, 6, 4] as the output"
            ),
            "{wrong}"
        );
        let double = weight.to_dtype(DType::F64).unwrap();
        assert!(conv2d_gradients(&map, &double, &ones, &spec, [true, true]).is_err());
    }
}
