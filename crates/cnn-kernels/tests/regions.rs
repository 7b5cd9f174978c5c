//! Regions of maps: what is refused, what there is nothing of, and that threads do not matter.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use cnn_kernels::{FeatureMap, Roi, RoiAlignSpec, RoiMap, l2_norm, roi_align, roi_max_pool};
use common::Numbers;

fn map(shape: &[usize]) -> FeatureMap {
    let values = Numbers::new(5).tensor(shape).to_dtype(DType::F32).unwrap();
    FeatureMap::from_nhwc(&values).unwrap()
}

fn level(map: &FeatureMap) -> RoiMap<'_> {
    RoiMap {
        map,
        spatial_scale: 0.5,
    }
}

fn roi(edges: [f32; 4]) -> Roi {
    Roi {
        map: 0,
        image: 0,
        edges,
    }
}

fn values(map: &FeatureMap) -> Vec<f32> {
    map.to_nhwc().flatten_all().unwrap().to_vec1().unwrap()
}

const SPEC: RoiAlignSpec = RoiAlignSpec::new([3, 2]);

#[test]
fn no_regions_and_regions_without_pixels() {
    let xs = map(&[2, 4, 5, 3]);
    assert_eq!(
        roi_align(&[level(&xs)], &[], &SPEC).unwrap().dims(),
        [0, 3, 2, 3]
    );
    assert_eq!(
        roi_max_pool(&[level(&xs)], &[], [3, 2]).unwrap().dims(),
        [0, 3, 2, 3]
    );
    let outside = [
        roi([-90., -90., -50., -50.]),
        roi([0., 40., 10., 60.]),
        roi([40., 0., 60., 8.]),
    ];
    assert_eq!(
        values(&roi_align(&[level(&xs)], &outside, &SPEC).unwrap()),
        [0.; 54]
    );
    assert_eq!(
        values(&roi_max_pool(&[level(&xs)], &outside, [3, 2]).unwrap()),
        [0.; 54]
    );
    let no_images = map(&[0, 4, 5, 3]);
    assert_eq!(
        roi_align(&[level(&no_images)], &[], &SPEC).unwrap().dims(),
        [0, 3, 2, 3]
    );
    let no_channels = map(&[1, 4, 5, 0]);
    let one = [roi([0., 0., 4., 4.])];
    let ys = roi_align(&[level(&no_channels)], &one, &SPEC).unwrap();
    assert_eq!(ys.dims(), [1, 3, 2, 0]);
    let ys = roi_max_pool(&[level(&no_channels)], &one, [3, 2]).unwrap();
    assert_eq!(ys.dims(), [1, 3, 2, 0]);
}

#[test]
fn a_map_of_which_no_region_is_taken_has_a_gradient_of_zeros() {
    let vars = [[1, 4, 5, 3], [2, 3, 2, 3]]
        .map(|shape: [usize; 4]| Var::from_tensor(&Numbers::new(1).tensor(&shape)).unwrap());
    let maps = vars
        .each_ref()
        .map(|var| FeatureMap::from_nhwc(var).unwrap());
    let rois = [roi([0., 0., 4., 4.])];
    for ys in [
        roi_align(&maps.each_ref().map(level), &rois, &SPEC).unwrap(),
        roi_max_pool(&maps.each_ref().map(level), &rois, [2, 2]).unwrap(),
    ] {
        let grads = ys.to_nhwc().sum_all().unwrap().backward().unwrap();
        let sum = |var: &Var| -> f64 {
            let grad = grads.get(var).unwrap();
            grad.abs().unwrap().sum_all().unwrap().to_scalar().unwrap()
        };
        assert!(sum(&vars[0]) > 0.);
        assert_eq!(sum(&vars[1]), 0.);
    }
}

#[test]
fn the_largest_value_may_be_negative_or_not_a_number() {
    let xs = Tensor::new(&[-3f32, -1., f32::NAN, -2.], &Device::Cpu).unwrap();
    let xs = FeatureMap::from_nhwc(&xs.reshape((1, 1, 4, 1)).unwrap()).unwrap();
    let rois = [roi([0., 0., 2., 0.]), roi([2., 0., 6., 0.])];
    let ys = values(&roi_max_pool(&[level(&xs)], &rois, [1, 1]).unwrap());
    assert_eq!(ys[0], -1.);
    assert!(ys[1].is_nan());
}

#[test]
fn the_first_of_equal_values_gets_the_gradient() {
    let xs = Var::from_tensor(&Tensor::ones((1, 2, 3, 1), DType::F64, &Device::Cpu).unwrap());
    let xs = xs.unwrap();
    let map = FeatureMap::from_nhwc(&xs).unwrap();
    let ys = roi_max_pool(&[level(&map)], &[roi([2., 0., 4., 2.])], [1, 1]).unwrap();
    let grads = ys.to_nhwc().sum_all().unwrap().backward().unwrap();
    let grad = grads.get(&xs).unwrap().flatten_all().unwrap();
    assert_eq!(grad.to_vec1::<f64>().unwrap(), [0., 1., 0., 0., 0., 0.]);
}

#[test]
fn what_cannot_be_is_named() {
    let xs = map(&[2, 4, 5, 3]);
    let other = map(&[2, 4, 5, 4]);
    let empty = map(&[2, 0, 5, 3]);
    let scaled = |spatial_scale| RoiMap {
        map: &xs,
        spatial_scale,
    };
    let whole = roi([0., 0., 4., 4.]);
    let on_map = |map| Roi { map, ..whole };
    let on_image = |image| Roi { image, ..whole };
    let none: &[RoiMap] = &[];
    for (maps, roi, expected) in [
        (none, whole, "number of maps is 0, expected at least 1"),
        (
            &[level(&xs), level(&other)],
            whole,
            "[2, 4, 5, 4], expected (N, H, W, 3)",
        ),
        (
            &[level(&empty)],
            whole,
            "[2, 0, 5, 3], expected (N, H, W, 3), not empty",
        ),
        (
            &[scaled(0.)],
            whole,
            "the spatial scale is 0, expected a positive number",
        ),
        (&[scaled(f64::NAN)], whole, "the spatial scale is NaN"),
        (
            &[level(&xs)],
            on_map(1),
            "the map's number is 1 for region 0, expected below 1",
        ),
        (
            &[level(&xs)],
            on_image(2),
            "the image's number is 2 for region 0, expected below 2",
        ),
        (
            &[level(&xs)],
            roi([0., f32::NAN, 4., 4.]),
            "the box is [0.0, NaN, 4.0, 4.0]",
        ),
        (
            &[level(&xs)],
            roi([0., 0., 4., f32::INFINITY]),
            "the box is",
        ),
        (
            &[level(&xs)],
            roi([0., 0., 1e30, 4.]),
            "edges within 1048576 pixels",
        ),
    ] {
        let aligned = roi_align(maps, &[roi], &SPEC).unwrap_err().to_string();
        let pooled = roi_max_pool(maps, &[roi], [3, 2]).unwrap_err().to_string();
        assert!(aligned.contains(expected), "{aligned}, not {expected}");
        assert!(pooled.contains(expected), "{pooled}, not {expected}");
    }
    let with = |output, sampling_ratio| RoiAlignSpec {
        output,
        sampling_ratio,
        ..SPEC
    };
    for (spec, expected) in [
        (with([0, 2], None), "output size is 0, expected 1 to"),
        (
            with([usize::MAX, 2], None),
            "output size is 18446744073709551615",
        ),
        (
            with([1 << 20, 1 << 20], None),
            "at most 1099511627776 elements",
        ),
        (
            with([3, 2], Some(0)),
            "the sampling ratio is 0, expected 1 to 1024",
        ),
        (with([3, 2], Some(1 << 20)), "the sampling ratio is 1048576"),
    ] {
        let error = roi_align(&[level(&xs)], &[whole], &spec).unwrap_err();
        assert!(
            error.to_string().contains(expected),
            "{error}, not {expected}"
        );
    }
}

#[test]
fn threads_change_no_bit() {
    let mut numbers = Numbers::new(9);
    let pyramid = [[2, 25, 30, 70], [2, 13, 15, 70]]
        .map(|shape| numbers.tensor(&shape).to_dtype(DType::F32).unwrap());
    let rois: Vec<Roi> = (0..60)
        .map(|number| {
            let mut edge = |most: f64| numbers.uniform(-3., most) as f32;
            let [x, y] = [edge(40.), edge(30.)];
            Roi {
                map: number % 2,
                image: number / 2 % 2,
                edges: [x, y, x + edge(30.), y + edge(30.)],
            }
        })
        .collect();
    let factors = numbers.tensor(&[70]).to_dtype(DType::F32).unwrap();
    let run = || {
        let vars = pyramid.each_ref().map(|xs| Var::from_tensor(xs).unwrap());
        let factors = Var::from_tensor(&factors).unwrap();
        let maps = vars.each_ref().map(|var| {
            let xs = FeatureMap::from_nhwc(var).unwrap();
            l2_norm(&xs, &factors, 1e-12).unwrap()
        });
        let levels = maps.each_ref().map(level);
        let aligned = roi_align(&levels, &rois, &SPEC).unwrap().to_nhwc();
        let pooled = roi_max_pool(&levels, &rois, [3, 2]).unwrap().to_nhwc();
        let ys = (aligned * pooled).unwrap();
        let grads = ys.sum_all().unwrap().backward().unwrap();
        let grads = vars
            .iter()
            .chain([&factors])
            .map(|var| grads.get(var).unwrap());
        let bits = [&ys].into_iter().chain(grads).map(|tensor| {
            let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
            values.into_iter().map(f32::to_bits).collect()
        });
        bits.collect::<Vec<Vec<u32>>>()
    };
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(run)
    };
    let one = with_threads(1);
    assert_eq!(one, with_threads(2));
    assert_eq!(one, with_threads(4));
}
