//! Regions of maps.

use candle_core::{Result, Tensor};
use cnn_kernels::{FeatureMap, Roi, RoiAlignSpec, RoiMap, roi_align, roi_max_pool};

use crate::common::Numbers;
use crate::pooling::distinct;
use crate::{check, nchw};

/// Boxes in images of 36×48: within, over the border, outside, of no area, over each other.
fn rois(maps: usize) -> Vec<Roi> {
    let edges = [
        [2.3, 5.1, 30.7, 31.2],
        [0., 0., 48., 36.],
        [9.1, 9.2, 10.3, 11.6],
        [17.3, 9.7, 17.3, 9.7],
        [-20.6, -13.1, 9.3, 14.8],
        [31.2, 20.3, 90.6, 70.9],
        [-90.3, -80.1, -30.2, -20.7],
        [6.2, 3.9, 28.8, 27.6],
    ];
    let places = edges.into_iter().enumerate();
    let roi = |(number, edges)| Roi {
        map: number % maps,
        image: number / maps % 2,
        edges,
    };
    places.map(roi).collect()
}

fn on_maps(
    inputs: &[Tensor],
    f: impl Fn(&[RoiMap], &[Roi]) -> Result<FeatureMap>,
) -> Result<Tensor> {
    let maps = inputs.iter().map(FeatureMap::from_nhwc);
    let maps = maps.collect::<Result<Vec<_>>>()?;
    let levels = maps.iter().zip([0.25, 0.125]);
    let levels: Vec<RoiMap> = levels
        .map(|(map, spatial_scale)| RoiMap { map, spatial_scale })
        .collect();
    nchw(f(&levels, &rois(inputs.len())))
}

#[test]
fn aligned_regions() {
    let mut numbers = Numbers::new(21);
    let pyramid = [[2, 9, 12, 3], [2, 5, 6, 3]].map(|shape| numbers.tensor(&shape));
    for (sampling_ratio, aligned) in [
        (None, false),
        (None, true),
        (Some(2), false),
        (Some(1), true),
    ] {
        let spec = RoiAlignSpec {
            sampling_ratio,
            aligned,
            ..RoiAlignSpec::new([3, 2])
        };
        for maps in [&pyramid[..1], &pyramid] {
            check(&format!("{spec:?} of {}", maps.len()), maps, |inputs| {
                on_maps(inputs, |maps, rois| roi_align(maps, rois, &spec))
            });
        }
    }
}

#[test]
fn pooled_regions() {
    let mut numbers = Numbers::new(22);
    let pyramid = [[2, 9, 12, 3], [2, 5, 6, 3]].map(|shape| distinct(&mut numbers, &shape));
    for output in [[3, 2], [1, 1], [7, 5]] {
        for maps in [&pyramid[..1], &pyramid] {
            check(&format!("{output:?} of {}", maps.len()), maps, |inputs| {
                on_maps(inputs, |maps, rois| roi_max_pool(maps, rois, output))
            });
        }
    }
}
