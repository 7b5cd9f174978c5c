//! A failure inside a network can be matched: the layer, its kind, and what did not fit.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Tensor};
use cnn_layers::{Context, FeatureMap, KernelError, find_error};
use cnn_models::{Error, ModelConfig, Network};

fn forward(model: &str, shape: [usize; 4]) -> Error {
    let network = Network::new(model, &ModelConfig::default(), 0).unwrap();
    let zeros = Tensor::zeros(&shape, DType::F32, &Device::Cpu).unwrap();
    let images = FeatureMap::from_nchw(&zeros).unwrap();
    let error = network
        .model()
        .forward(&images, &Context::eval())
        .unwrap_err();
    Error::from(error)
}

#[test]
fn a_shape_error_names_its_layer_and_its_shape() {
    for (model, images, layer) in [
        ("resnet8_cifar10", [2, 1, 32, 24], "conv1"),
        ("mobilenetv2_035", [1, 4, 64, 32], "conv_stem"),
    ] {
        let Error::Layer(cnn_layers::Error::Layer { path, kind, source }) = forward(model, images)
        else {
            panic!("{model}: no layer is named");
        };
        assert_eq!((path.as_str(), kind.name()), (layer, "conv2d"));
        let Some(KernelError::Shape {
            op, what, found, ..
        }) = find_error(&source)
        else {
            panic!("{model}: {source}");
        };
        assert_eq!((*op, *what), ("conv2d", "the weight"));
        assert_eq!(found[1], 3);
    }
}

#[test]
fn a_window_that_does_not_fit_is_found_deep_inside() {
    let Error::Layer(cnn_layers::Error::Layer { path, kind, source }) =
        forward("squeezenet1_1", [1, 3, 5, 40])
    else {
        panic!("no layer is named");
    };
    assert_eq!((path.as_str(), kind.name()), ("features.2", "max_pool"));
    let stride = kind.window().map(|window| window.stride);
    assert_eq!(stride, Some([2, 2]), "{kind:?}");
    let found = find_error(&source);
    assert!(
        matches!(
            found,
            Some(KernelError::WindowTooLarge { axis: "height", .. })
        ),
        "{source}"
    );
}
