//! Inputs at the edge of what the operations take: empty batches, no channels, NaN, shapes beyond
//! all memory.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Result, Tensor, Var};
use cnn_kernels::{
    Activation, BackwardRule, Conv2dSpec, FeatureMap, Interpolation, Padding, ResizeTo, Window,
    activate_tensor, adaptive_max_pool, add, avg_pool, batch_norm_running, batch_norm_train,
    channel_shuffle, channel_slice, concat, concat_norm_running, conv2d, global_avg_pool,
    group_norm, layer_norm, layer_norm_plain, layer_scale, max_pool, resize, softmax,
};

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap()
}

fn map(shape: [usize; 4]) -> FeatureMap {
    FeatureMap::from_nhwc(&ones(&shape)).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn nearest(xs: &FeatureMap, size: [usize; 2]) -> Result<FeatureMap> {
    resize(xs, ResizeTo::Size(size), Interpolation::Nearest)
}

/// Every operation that takes a batch without a statistic over it, on maps of three channels.
fn operations(xs: &FeatureMap, weights: &[Tensor]) -> Result<Vec<Tensor>> {
    let window = Window {
        stride: [2, 2],
        padding: Padding::all(1),
        ..Window::new([3, 3])
    };
    let depthwise = Conv2dSpec {
        groups: 3,
        ..Conv2dSpec::default()
    };
    let [dense, single, vector] = weights else {
        panic!("three weights")
    };
    let maps = [
        conv2d(xs, dense, Some(vector), &Conv2dSpec::default())?,
        conv2d(xs, single, Some(vector), &depthwise)?,
        max_pool(xs, &window)?,
        avg_pool(xs, &window, true)?,
        adaptive_max_pool(xs, [2, 3])?,
        global_avg_pool(xs)?,
        nearest(xs, [9, 5])?,
        batch_norm_running(
            xs,
            vector,
            vector,
            &vector.detach(),
            &vector.detach(),
            1e-5,
            None,
            Activation::Identity,
        )?,
        layer_norm(xs, vector, vector, 1e-5)?,
        layer_norm_plain(xs, 1e-5)?,
        group_norm(xs, 3, Some([vector, vector]), 1e-5)?,
        layer_scale(xs, vector, Some(xs))?,
        add(xs, xs)?,
        concat(&[xs, xs])?,
        channel_slice(xs, 1..3)?,
        channel_shuffle(xs, 3)?,
        concat_norm_running(
            &[xs],
            [vector, vector],
            [&vector.detach(), &vector.detach()],
            1e-5,
            Activation::Relu,
        )?,
    ];
    let mut tensors = vec![activate_tensor(
        &xs.to_nhwc(),
        Activation::Gelu,
        BackwardRule::Standard,
    )?];
    for map in maps {
        tensors.push(map.flatten()?);
    }
    tensors.push(softmax(&xs.to_nhwc())?);
    Ok(tensors)
}

#[test]
fn an_empty_batch_gives_empty_maps_and_zero_gradients() {
    let weights: Vec<Var> = [&[3, 3, 3, 2][..], &[3, 1, 3, 2], &[3]]
        .map(|shape| Var::from_tensor(&ones(shape)).unwrap())
        .into();
    let tensors: Vec<Tensor> = weights
        .iter()
        .map(|weight| weight.as_tensor().clone())
        .collect();
    let xs = Var::from_tensor(&ones(&[0, 5, 7, 3])).unwrap();
    let outputs = operations(&FeatureMap::from_nhwc(&xs).unwrap(), &tensors).unwrap();
    for ys in &outputs {
        assert_eq!((ys.dims()[0], ys.elem_count()), (0, 0), "{ys:?}");
        let grads = ys.sum_all().unwrap().backward().unwrap();
        assert_eq!(grads.get(&xs).unwrap().dims(), [0, 5, 7, 3]);
        for weight in &weights {
            assert!(
                grads
                    .get(weight)
                    .is_none_or(|grad| values(grad).iter().all(|&value| value == 0.))
            );
        }
    }
    // The same operations on one image are not empty.
    let image = operations(&map([1, 5, 7, 3]), &tensors).unwrap();
    assert!(image.len() == outputs.len() && image.iter().all(|ys| ys.elem_count() > 0));
}

#[test]
fn statistics_of_an_empty_batch_are_an_error() {
    let error = batch_norm_train(
        &map([0, 5, 7, 3]),
        &ones(&[3]),
        &ones(&[3]),
        1e-5,
        None,
        Activation::Identity,
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("values per channel is 0, expected at least 2"),
        "{error}"
    );
}

#[test]
fn maps_without_channels_or_pixels() {
    let spec = Conv2dSpec::default();
    let window = Window::new([2, 2]);
    let none = map([1, 4, 5, 0]);
    assert_eq!(max_pool(&none, &window).unwrap().dims(), [1, 3, 4, 0]);
    assert_eq!(
        layer_norm(&none, &ones(&[0]), &ones(&[0]), 1e-5)
            .unwrap()
            .dims(),
        [1, 4, 5, 0]
    );
    for (shape, groups) in [([1, 4, 5, 0], 2), ([2, 0, 5, 4], 2)] {
        let ys = group_norm(&map(shape), groups, None, 1e-5).unwrap();
        assert_eq!(ys.to_nhwc().dims(), shape);
    }
    assert_eq!(
        batch_norm_train(
            &none,
            &ones(&[0]),
            &ones(&[0]),
            1e-5,
            None,
            Activation::Identity
        )
        .unwrap()
        .0
        .dims(),
        [1, 4, 5, 0]
    );
    let flat = map([1, 0, 5, 3]);
    let table = [
        (
            conv2d(&none, &ones(&[3, 0, 1, 1]), None, &spec),
            "number of input channels is 0, expected at least 1",
        ),
        (
            conv2d(&map([1, 4, 5, 3]), &ones(&[0, 3, 1, 1]), None, &spec),
            "the weight has shape [0, 3, 1, 1]",
        ),
        (
            conv2d(&map([1, 4, 5, 3]), &ones(&[2, 3, 0, 1]), None, &spec),
            "kernel_size is 0, expected 1 to",
        ),
        (
            conv2d(&flat, &ones(&[2, 3, 1, 1]), None, &spec),
            "input size is 0, expected 1 to",
        ),
        (max_pool(&flat, &window), "input size is 0"),
        (global_avg_pool(&flat), "input size is 0"),
        (nearest(&flat, [2, 2]), "input size is 0"),
    ];
    for (result, expected) in table {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(softmax(&ones(&[2, 0])).unwrap().dims(), [2, 0]);
    assert!(softmax(&ones(&[])).is_err());
}

#[test]
fn an_output_beyond_all_memory_is_an_error() {
    let spec = Conv2dSpec {
        padding: Padding::all(1 << 20),
        ..Conv2dSpec::default()
    };
    let error = conv2d(&map([1, 1, 1, 1]), &ones(&[1, 1, 1, 1]), None, &spec)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the output has shape [1, 2097153, 2097153, 1], expected at most"),
        "{error}"
    );
    let error = nearest(&map([1, 1, 1, 2]), [1 << 20, 1 << 20])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the output has shape [1, 1048576, 1048576, 2]"),
        "{error}"
    );
}

#[test]
fn element_types_without_a_kernel_are_errors() {
    let bytes = Tensor::ones((1, 4, 5, 3), DType::U8, &Device::Cpu).unwrap();
    let error = softmax(&bytes).unwrap_err().to_string();
    assert!(
        error.contains("softmax: the input's element type is U8, expected F32 or F64"),
        "{error}"
    );
    let error = max_pool(
        &FeatureMap::from_nhwc(&bytes).unwrap(),
        &Window::new([2, 2]),
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("element type is U8, expected F32 or F64"),
        "{error}"
    );
}

#[test]
fn nan_wins_the_maximum_and_takes_the_gradient() {
    let row = [1., f32::NAN, 2., 3., f32::NEG_INFINITY, f32::NEG_INFINITY];
    let xs = Var::from_tensor(
        &Tensor::new(&row, &Device::Cpu)
            .unwrap()
            .reshape((1, 1, 6, 1))
            .unwrap(),
    )
    .unwrap();
    let window = Window {
        stride: [1, 2],
        ..Window::new([1, 2])
    };
    let ys = max_pool(&FeatureMap::from_nhwc(&xs).unwrap(), &window)
        .unwrap()
        .to_nhwc();
    let found = values(&ys);
    assert!(
        found[0].is_nan() && found[1..] == [3., f32::NEG_INFINITY],
        "{found:?}"
    );
    let grads = ys.backward().unwrap();
    assert_eq!(values(grads.get(&xs).unwrap()), [0., 1., 0., 1., 1., 0.]);
}

#[test]
fn nan_passes_every_activation() {
    let xs = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
    for activation in [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu(0.01),
        Activation::Relu6,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::HardSwish,
        Activation::HardSigmoid,
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
    ] {
        let ys = values(&activate_tensor(&xs, activation, BackwardRule::Standard).unwrap());
        assert!(ys[0].is_nan(), "{activation:?} gives {ys:?}");
    }
}
