//! Layouts, views, maps with several readers, and what is not tracked.

use candle_core::{DType, Result, Tensor, Var};
use cnn_kernels::{
    Activation, BackwardRule, Conv2dSpec, FeatureMap, Interpolation, Padding, ResizeTo, Window,
    activate, add, avg_pool, batch_norm_train, concat, conv2d, global_avg_pool, global_max_pool,
    layer_norm, max_pool, resize, softmax,
};

use crate::common::Numbers;
use crate::{check, gradients, nchw, upstream, values};

#[test]
fn layouts() {
    let mut numbers = Numbers::new(13);
    for shape in [[2, 3, 4, 5], [2, 3, 1, 1], [3, 1, 4, 2], [1, 4, 1, 3]] {
        let xs = [numbers.tensor(&shape)];
        check("nchw to nhwc", &xs, |xs| {
            Ok(FeatureMap::from_nchw(&xs[0])?.to_nhwc())
        });
        check("nhwc to nchw", &xs, |xs| {
            FeatureMap::from_nhwc(&xs[0])?.to_nchw()
        });
        check("flatten", &xs, |xs| {
            FeatureMap::from_nhwc(&xs[0])?.flatten()
        });
    }
}

#[test]
fn views_as_inputs() {
    let mut numbers = Numbers::new(14);
    let xs = numbers.tensor(&[2, 7, 6, 5]);
    let inputs = [xs, numbers.tensor(&[3, 5, 2, 3]), numbers.tensor(&[5])];
    let spec = Conv2dSpec::default();
    check("narrowed and transposed", &inputs, |inputs| {
        let xs = FeatureMap::from_nhwc(&inputs[0].narrow(2, 1, 4)?.narrow(3, 2, 3)?)?;
        let weight = inputs[1]
            .transpose(0, 1)?
            .narrow(1, 0, 3)?
            .narrow(0, 1, 4)?;
        nchw(conv2d(
            &xs,
            &weight,
            Some(&inputs[2].narrow(0, 1, 4)?),
            &spec,
        ))
    });
    check("an offset into the storage", &inputs[..1], |inputs| {
        let xs = FeatureMap::from_nhwc(&inputs[0].narrow(0, 1, 1)?)?;
        nchw(max_pool(&xs, &Window::new([2, 3])))
    });
    let scalar_weight = [
        numbers.tensor(&[2, 3, 4, 5]),
        numbers.tensor(&[1]),
        numbers.tensor(&[1]),
    ];
    check("broadcast parameters", &scalar_weight, |inputs| {
        let weight = inputs[1].broadcast_as(5)?;
        let bias = inputs[2].broadcast_as(5)?;
        Ok(layer_norm(&FeatureMap::from_nhwc(&inputs[0])?, &weight, &bias, 1e-3)?.to_nhwc())
    });
}

/// A small network of most kinds of operations, in which many maps have two consumers; its inputs
/// are [`network_inputs`].
fn network(inputs: &[Tensor]) -> Result<Tensor> {
    let [
        image,
        stem,
        bn_weight,
        bn_bias,
        depthwise,
        ln_weight,
        ln_bias,
        grouped,
        bias,
        pointwise,
    ] = inputs
    else {
        panic!("{} inputs", inputs.len());
    };
    let activate = |xs: FeatureMap, f| activate(&xs, f, BackwardRule::Standard);
    let padded = |groups| Conv2dSpec {
        groups,
        padding: Padding::all(1),
        ..Conv2dSpec::default()
    };
    let window = Window {
        stride: [2, 2],
        padding: Padding::all(1),
        ..Window::new([3, 3])
    };

    let xs = conv2d(&FeatureMap::from_nchw(image)?, stem, None, &padded(1))?;
    let xs = batch_norm_train(&xs, bn_weight, bn_bias, 1e-3, None, Activation::Silu)?.0;
    let xs = add(&conv2d(&xs, depthwise, None, &padded(4))?, &xs)?;
    let size = [xs.height(), xs.width()];
    let size = ResizeTo::Size(size);
    let largest = resize(&max_pool(&xs, &window)?, size, Interpolation::Nearest)?;
    let mean = resize(
        &avg_pool(&xs, &window, false)?,
        size,
        Interpolation::Nearest,
    )?;
    let xs = layer_norm(&concat(&[&largest, &xs, &mean])?, ln_weight, ln_bias, 1e-3)?;
    let xs = activate(
        conv2d(&xs, grouped, Some(bias), &padded(2))?,
        Activation::Relu,
    )?;
    let xs = conv2d(&xs, pointwise, None, &Conv2dSpec::default())?;
    softmax(&Tensor::cat(
        &[
            global_avg_pool(&xs)?.flatten()?,
            global_max_pool(&xs)?.flatten()?,
        ],
        1,
    )?)
}

fn network_inputs(seed: u64, [batch, height, width]: [usize; 3]) -> Vec<Tensor> {
    let image = [batch, 2, height, width];
    let shapes: [&[usize]; 10] = [
        &image,
        &[4, 2, 3, 3],
        &[4],
        &[4],
        &[4, 1, 3, 3],
        &[12],
        &[12],
        &[6, 6, 3, 3],
        &[6],
        &[5, 6, 1, 1],
    ];
    let mut numbers = Numbers::new(seed);
    shapes.iter().map(|shape| numbers.tensor(shape)).collect()
}

#[test]
fn maps_with_two_consumers() {
    check("network", &network_inputs(15, [2, 5, 7]), network);
}

#[test]
fn what_is_not_tracked_gets_no_gradient() {
    let inputs = network_inputs(16, [2, 5, 7]);
    let vars: Vec<Var> = inputs
        .iter()
        .map(|input| Var::from_tensor(input).unwrap())
        .collect();
    let frozen = [0, 2, 4, 7];
    let mixed: Vec<Tensor> = (0..inputs.len())
        .map(|i| {
            if frozen.contains(&i) {
                vars[i].as_detached_tensor()
            } else {
                vars[i].as_tensor().clone()
            }
        })
        .collect();
    let all = gradients(&inputs, &network);
    let ys = network(&mixed).unwrap();
    let grads = (&ys * upstream(&ys))
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    for (index, var) in vars.iter().enumerate() {
        assert!(
            grads
                .get(&mixed[index])
                .is_none_or(|_| !frozen.contains(&index)),
            "input {index} is frozen"
        );
        match grads.get(var) {
            None => assert!(frozen.contains(&index), "input {index} is tracked"),
            Some(grad) => assert_eq!(values(grad), all[index], "input {index}"),
        }
    }
    let constants: Vec<Tensor> = inputs.iter().map(Tensor::detach).collect();
    assert!(!network(&constants).unwrap().track_op());
}

/// The bits of the output and of all gradients of the network, computed by so many threads. In f64,
/// where sums over many pixels are not rounded once more, each change of their order shows.
fn bits(dtype: DType, threads: usize) -> Vec<Vec<u64>> {
    let inputs = network_inputs(17, [3, 89, 97]);
    let bits = |tensor: &Tensor| -> Vec<u64> {
        values(&tensor.to_dtype(DType::F64).unwrap())
            .into_iter()
            .map(f64::to_bits)
            .collect()
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| {
        assert_eq!(rayon::current_num_threads(), threads);
        let vars: Vec<Var> = inputs
            .iter()
            .map(|input| Var::from_tensor(&input.to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let ys = network(&tensors).unwrap();
        let upstream = upstream(&ys).to_dtype(dtype).unwrap();
        let grads = (&ys * upstream)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        [bits(&ys)]
            .into_iter()
            .chain(vars.iter().map(|var| bits(grads.get(var).unwrap())))
            .collect()
    })
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for dtype in [DType::F32, DType::F64] {
        let one = bits(dtype, 1);
        assert!(one[1].len() > 10_000 && one.iter().all(|bits| bits.iter().any(|&bit| bit != 0)));
        for threads in [2, 3] {
            assert!(
                bits(dtype, threads) == one,
                "{threads} threads compute other bits than one in {dtype:?}"
            );
        }
    }
}
