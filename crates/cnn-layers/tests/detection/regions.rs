//! Regions of a pyramid, and maps whose pixels have one length.

use std::sync::Mutex;

use candle_core::{Device, Result, Tensor, Var};
use cnn_layers::detection::LevelMapper;
use cnn_layers::{
    Context, Event, FeatureMap, L2Norm2dConfig, Layer, LayerKind, Mode, MultiScaleRoiAlign,
    Observer, Store, backward,
};

use crate::{Goldens, assert_close, values};

#[test]
fn boxes_go_to_torchvisions_levels() {
    let goldens = Goldens::read();
    let mapper = LevelMapper::new(2, 5).unwrap();
    let boxes = goldens.edges("levels.boxes");
    let found: Vec<i64> = boxes
        .iter()
        .map(|edges| mapper.index_of(edges) as i64)
        .collect();
    assert_eq!(found, goldens.i64("levels.index"));
    assert!(LevelMapper::new(3, 2).is_err());
    assert!(mapper.with_canonical(0., 4).is_err());
    // The wrong way round.
    assert_eq!(mapper.index_of(&[900., 0., 0., 900.]), 0);
}

#[test]
fn regions_of_a_pyramid_equal_torchvision() {
    let goldens = Goldens::read();
    let map = |level: usize| {
        let map = goldens.tensor(&format!("pooling.map.{level}"));
        FeatureMap::from_nchw(map).unwrap()
    };
    let boxes = ["first", "second"].map(|image| goldens.edges(&format!("pooling.{image}")));
    let pyramid = MultiScaleRoiAlign::new([2, 3], Some(2)).with_canonical(40., 3);
    let one = MultiScaleRoiAlign::new([2, 3], None);
    for (name, pool, maps) in [
        ("pyramid", pyramid, vec![map(0), map(1), map(2)]),
        ("one", one, vec![map(1)]),
    ] {
        let regions = pool
            .forward(&maps, [96, 80], &boxes, &Context::eval())
            .unwrap();
        let found = values(&regions.to_nchw().unwrap());
        assert_close(name, &found, &goldens.f64(&format!("pooling.{name}")), 1e-6);
    }
}

/// Paths, kinds, and how many inputs there were.
#[derive(Default)]
struct Seen(Mutex<Vec<(String, LayerKind, usize)>>);

impl Observer for Seen {
    fn exit(&self, event: &Event<'_>) -> Result<()> {
        let seen = (event.path.to_string(), event.kind, event.inputs.len());
        self.0.lock().unwrap().push(seen);
        Ok(())
    }
}

fn zeros(shape: [usize; 4]) -> FeatureMap {
    let zeros = Tensor::zeros(&shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    FeatureMap::from_nhwc(&zeros).unwrap()
}

#[test]
fn observers_see_kinds_and_errors_have_paths() {
    let store = Store::new(0);
    let root = store.builder(Mode::Eval);
    let pool = MultiScaleRoiAlign::new([7, 5], None).at(&root.pp("box_roi_pool"));
    let maps = [zeros([1, 8, 8, 2]), zeros([1, 4, 4, 2])];
    let seen = Seen::default();
    let cx = Context::eval();
    let observed = cx.with_observer(&seen);
    let regions = pool.forward(&maps, [32, 32], &[vec![]], &observed).unwrap();
    assert_eq!(regions.dims(), [0, 7, 5, 2]);
    let kind = LayerKind::MultiScaleRoiAlign {
        output: [7, 5],
        sampling_ratio: None,
    };
    assert_eq!(kind.name(), "multi_scale_roi_align");
    assert_eq!(
        *seen.0.lock().unwrap(),
        [("box_roi_pool".to_string(), kind, 2)]
    );
    let a_box = vec![[0., 0., 9., 9.]];
    let two_images = [a_box.clone(), a_box.clone()];
    for (maps, boxes, expected) in [
        (
            &maps[..],
            &two_images[..],
            "the image's number is 1 for region 1",
        ),
        (
            &[],
            &two_images[..1],
            "`maps`: found none, expected at least 1",
        ),
        (
            &[maps[1].clone(), maps[0].clone()],
            &two_images[..1],
            "at least the first level, 3",
        ),
    ] {
        let error = pool
            .forward(maps, [32, 32], boxes, &cx)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("box_roi_pool (multi_scale_roi_align): "),
            "{error}"
        );
        assert!(error.contains(expected), "{error}, not {expected}");
    }
    assert!(pool.forward(&maps, [0, 32], &[], &cx).is_err());
}

#[test]
fn factors_of_pixels_are_learned_and_lie_where_torchvision_has_them() {
    let store = Store::new(0);
    let config = L2Norm2dConfig::new(3).with_init(10.);
    let norm = config
        .build(&store.builder(Mode::Train).pp("backbone"))
        .unwrap();
    assert_eq!(store.names(), ["backbone.scale_weight"]);
    let xs = Tensor::new(&[[[[2f32, -1., 2.], [0., 0., 0.]]]], &Device::Cpu).unwrap();
    let xs = Var::from_tensor(&xs).unwrap();
    let ys = norm
        .forward(&FeatureMap::from_nhwc(&xs).unwrap(), &Context::eval())
        .unwrap();
    let found = values(&ys.to_nhwc());
    assert_close(
        "ys",
        &found,
        &[20. / 3., -10. / 3., 20. / 3., 0., 0., 0.],
        1e-6,
    );
    let grads = backward(&ys.to_nhwc().sum_all().unwrap()).unwrap();
    let of_factors = values(grads.get(norm.factors()).unwrap());
    assert_close("factors", &of_factors, &[2. / 3., -1. / 3., 2. / 3.], 1e-6);
    let error = norm
        .forward(&zeros([1, 2, 2, 4]), &Context::eval())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("backbone.scale_weight (l2_norm)"),
        "{error}"
    );
}
