//! Feature pyramids.

use candle_core::{DType, Device, Tensor, Var};
use cnn_layers::{
    Context, ExtraLevels, FeatureMap, FeaturePyramidConfig, Mode, PyramidSource, Store,
};

use crate::{Goldens, assert_close, values};

#[test]
fn pyramids_and_their_gradients_equal_torchvision() {
    let goldens = Goldens::read();
    for (name, extra) in [
        ("pool", ExtraLevels::Pool),
        ("backbone", ExtraLevels::P6P7(PyramidSource::Backbone)),
        ("pyramid", ExtraLevels::P6P7(PyramidSource::Pyramid)),
    ] {
        let of = |key: &str| goldens.tensor(&format!("pyramid.{name}.{key}"));
        let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
        let config = FeaturePyramidConfig::new([2, 3, 4], 2).with_extra_levels(extra);
        let pyramid = config.build(&store.builder(Mode::Train)).unwrap();
        for tensor in store.names() {
            store
                .set(&tensor, of(&format!("weights.{tensor}")))
                .unwrap();
        }
        let inputs: Vec<Var> = (0..3)
            .map(|map| {
                let values = goldens.tensor(&format!("pyramid.map{map}"));
                let values = values.to_dtype(DType::F64).unwrap();
                Var::from_tensor(&values).unwrap()
            })
            .collect();
        let maps: Vec<FeatureMap> = inputs
            .iter()
            .map(|map| FeatureMap::from_nchw(map).unwrap())
            .collect();
        let levels = pyramid.forward(&maps, &Context::eval()).unwrap();
        assert_eq!(levels.len(), 3 + extra.count());
        let mut sum = Tensor::zeros((), DType::F64, &Device::Cpu).unwrap();
        for (level, map) in levels.iter().enumerate() {
            let found = map.to_nchw().unwrap();
            let expected = of(&format!("level{level}"));
            assert_eq!(found.dims(), expected.dims(), "{name} level {level}");
            let label = format!("{name} level {level}");
            assert_close(&label, &values(&found), &values(expected), 1e-12);
            let upstream = of(&format!("upstream{level}"))
                .to_dtype(DType::F64)
                .unwrap();
            sum = (sum + (found * upstream).unwrap().sum_all().unwrap()).unwrap();
        }
        let gradients = sum.backward().unwrap();
        let of_maps = inputs.iter().enumerate();
        let of_maps = of_maps.map(|(map, var)| (format!("map{map}"), var.clone()));
        for (tensor, var) in of_maps.chain(store.trainable()) {
            let found = values(gradients.get(&var).unwrap());
            let label = format!("{name} {tensor}");
            assert_close(
                &label,
                &found,
                &values(of(&format!("grad.{tensor}"))),
                1e-12,
            );
        }
    }
}

#[test]
fn other_maps_than_a_pyramid_was_built_for_are_named() {
    let root = Store::new(0).builder(Mode::Eval);
    let error = FeaturePyramidConfig::new([], 8).build(&root).unwrap_err();
    assert!(error.to_string().contains("at least one map"), "{error}");
    let pyramid = FeaturePyramidConfig::new([2, 3], 8).build(&root).unwrap();
    let map = Tensor::zeros((1, 4, 6, 2), DType::F32, &Device::Cpu).unwrap();
    let map = FeatureMap::from_nhwc(&map).unwrap();
    let forward = |maps: &[FeatureMap]| pyramid.forward(maps, &Context::eval()).unwrap_err();
    let error = forward(std::slice::from_ref(&map)).to_string();
    assert!(error.contains("found 1, expected 2"), "{error}");
    let error = forward(&[map.clone(), map]).to_string();
    assert!(error.contains("inner_blocks.1.0"), "{error}");
}
