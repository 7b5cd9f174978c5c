//! Pooling.

use candle_core::{Device, Result, Tensor};
use cnn_kernels::{
    FeatureMap, Padding, Window, adaptive_avg_pool, adaptive_max_pool, avg_pool, global_avg_pool,
    global_max_pool, max_pool,
};

use crate::common::Numbers;
use crate::{check, nchw};

/// Windows for pooling on inputs of 7×8.
fn pooling_windows() -> Vec<(&'static str, Window)> {
    let window = |kernel_size, stride| Window {
        stride,
        ..Window::new(kernel_size)
    };
    let asymmetric = Padding::Explicit {
        top: 0,
        bottom: 1,
        left: 1,
        right: 2,
    };
    vec![
        ("2x2", window([2, 2], [2, 2])),
        ("overlapping", window([3, 2], [1, 1])),
        ("stride beyond the kernel", window([2, 1], [3, 2])),
        (
            "padded",
            Window {
                padding: Padding::all(1),
                ..window([3, 3], [2, 2])
            },
        ),
        (
            "padded differently",
            Window {
                padding: asymmetric,
                ..window([2, 4], [2, 3])
            },
        ),
        (
            "ceil",
            Window {
                ceil_mode: true,
                ..window([2, 3], [2, 3])
            },
        ),
        (
            "ceil, padded",
            Window {
                ceil_mode: true,
                padding: Padding::symmetric(1, 0),
                ..window([3, 3], [3, 2])
            },
        ),
        (
            "dilated",
            Window {
                dilation: [2, 3],
                ..window([3, 2], [2, 1])
            },
        ),
        (
            "ceil, padded, dilated",
            Window {
                ceil_mode: true,
                padding: Padding::symmetric(2, 1),
                dilation: [2, 2],
                ..window([3, 2], [2, 3])
            },
        ),
        (
            "same",
            Window {
                padding: Padding::Same,
                ..window([3, 3], [2, 2])
            },
        ),
        ("everything", window([7, 8], [1, 1])),
    ]
}

/// Values at least 0.01 apart, so that no step changes which is the largest.
pub(crate) fn distinct(numbers: &mut Numbers, shape: &[usize]) -> Tensor {
    let mut order: Vec<(f64, usize)> = (0..shape.iter().product())
        .map(|i| (numbers.uniform(0., 1.), i))
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let values: Vec<f64> = order
        .iter()
        .map(|&(_, rank)| 0.01 * rank as f64 - 1.)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

#[test]
fn pooling() {
    let xs = [distinct(&mut Numbers::new(1), &[2, 7, 8, 3])];
    for (name, window) in pooling_windows() {
        check(&format!("max, {name}"), &xs, |xs| {
            nchw(max_pool(&FeatureMap::from_nhwc(&xs[0])?, &window))
        });
        for count_include_pad in [true, false] {
            check(
                &format!("average, {name}, {count_include_pad}"),
                &xs,
                |xs| {
                    nchw(avg_pool(
                        &FeatureMap::from_nhwc(&xs[0])?,
                        &window,
                        count_include_pad,
                    ))
                },
            );
        }
    }
}

type Resize = fn(&FeatureMap, [usize; 2]) -> Result<FeatureMap>;

#[test]
fn adaptive_and_global_pooling() {
    let xs = [distinct(&mut Numbers::new(2), &[2, 5, 7, 3])];
    let sizes = [[1, 1], [5, 7], [2, 3], [3, 2], [4, 5], [7, 9], [10, 21]];
    let operations: [(&str, Resize); 2] = [
        ("adaptive average", adaptive_avg_pool),
        ("adaptive maximum", adaptive_max_pool),
    ];
    for (name, resize) in operations {
        for size in sizes {
            check(&format!("{name} to {size:?}"), &xs, |xs| {
                nchw(resize(&FeatureMap::from_nhwc(&xs[0])?, size))
            });
        }
    }
    check("global average", &xs, |xs| {
        nchw(global_avg_pool(&FeatureMap::from_nhwc(&xs[0])?))
    });
    check("global maximum", &xs, |xs| {
        nchw(global_max_pool(&FeatureMap::from_nhwc(&xs[0])?))
    });
}
