//! Layers and blocks as their users meet them: names, shapes, observers, gradients, errors.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Mutex;

use candle_core::{DType, Device, Result, Tensor, Var};
use cnn_core::Key;
use cnn_layers::{
    Activate, Activation, AvgPool2d, BackwardRule, BatchNorm2dConfig, BlockOptions, Context,
    Conv2dConfig, ConvNormActConfig, ConvTranspose2dConfig, DepthwiseSeparableConfig, Error, Event,
    FeatureMap, GlobalMaxPool2d, GroupNormConfig, Interpolation, InvertedResidualConfig, Layer,
    LayerNorm2dConfig, LinearConfig, MaxPool2d, Mode, Observer, Padding, Resize2d, ResizeLike,
    ResizeTo, Sequential, Softmax, SqueezeExciteConfig, Store, find_error,
};

fn maps(shape: [usize; 4]) -> FeatureMap {
    let mut rng = Key::new(0).stream("maps").rng();
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| rng.normal() as f32)
        .collect();
    FeatureMap::from_nhwc(&Tensor::from_vec(values, &shape[..], &Device::Cpu).unwrap()).unwrap()
}

fn values(maps: &FeatureMap) -> Vec<f32> {
    maps.to_nhwc().flatten_all().unwrap().to_vec1().unwrap()
}

fn sum(maps: &FeatureMap) -> f32 {
    maps.to_nhwc().sum_all().unwrap().to_scalar().unwrap()
}

#[test]
fn blocks_have_timms_names_and_keep_their_shapes() {
    let se = SqueezeExciteConfig::new(12, 4).with_activation(Activation::Silu);
    let store = Store::new(0);
    let root = store.builder(Mode::Eval);
    let wide = InvertedResidualConfig::new(8, 12, 8, 1).with_options(
        BlockOptions::new()
            .with_kernel(5, Padding::all(2))
            .with_squeeze_excite(se),
    );
    let separable = DepthwiseSeparableConfig::new(8, 10, 2).with_options(
        BlockOptions::new()
            .with_kernel(3, Padding::Same)
            .with_drop_path(0.5),
    );
    let chain = Sequential::new()
        .add(wide.build(&root.pp(0)).unwrap())
        .add(separable.build(&root.pp(1)).unwrap());
    let ys = chain
        .forward(&maps([2, 7, 9, 8]), &Context::eval())
        .unwrap();
    assert_eq!(ys.dims(), [2, 4, 5, 10]);
    let parameters: Vec<String> = store
        .names()
        .into_iter()
        .filter(|name| name.contains("conv"))
        .collect();
    let expected = [
        "0.conv_pw.weight",
        "0.conv_dw.weight",
        "0.se.conv_reduce.weight",
        "0.se.conv_reduce.bias",
        "0.se.conv_expand.weight",
        "0.se.conv_expand.bias",
        "0.conv_pwl.weight",
        "1.conv_dw.weight",
        "1.conv_pw.weight",
    ];
    assert_eq!(parameters, expected);
    assert_eq!(store.get("0.conv_dw.weight").unwrap().dims(), [12, 1, 5, 5]);
}

/// Paths, kinds and output shapes in order of execution.
#[derive(Default)]
struct Log(Mutex<Vec<(String, &'static str, Vec<usize>)>>);

impl Observer for Log {
    fn exit(&self, event: &Event<'_>) -> Result<()> {
        assert!(event.output.is_finite()?);
        self.0.lock().unwrap().push((
            event.path.to_string(),
            event.kind.name(),
            event.output.dims(),
        ));
        Ok(())
    }
}

#[test]
fn observers_see_every_layer_in_order_and_may_stop_the_pass() {
    let root = Store::new(0).builder(Mode::Eval);
    let chain = Sequential::new()
        .add(Conv2dConfig::new(3, 4, 3).build(&root.pp("conv")).unwrap())
        .add(LayerNorm2dConfig::new(4).build(&root.pp("norm")).unwrap())
        .add(
            GroupNormConfig::new(2, 4)
                .build(&root.pp("groups"))
                .unwrap(),
        )
        .add(
            MaxPool2d::new(3, 2)
                .at(&root.pp("pool"))
                .with_padding(Padding::all(1))
                .with_ceil_mode(),
        )
        .add(Resize2d::new(ResizeTo::Size([5, 7]), Interpolation::Nearest).at(&root.pp("up")))
        .add(AvgPool2d::new(2, 1).at(&root.pp("smooth")))
        .add(Softmax::new(&root.pp("softmax")))
        .add(GlobalMaxPool2d::new().at(&root.pp("top")));
    let log = Log::default();
    chain
        .forward(&maps([1, 8, 9, 3]), &Context::eval().with_observer(&log))
        .unwrap();
    let seen = log.0.into_inner().unwrap();
    let expected = [
        ("conv", "conv2d", vec![1, 4, 6, 7]),
        ("norm", "layer_norm", vec![1, 4, 6, 7]),
        ("groups", "group_norm", vec![1, 4, 6, 7]),
        ("pool", "max_pool", vec![1, 4, 4, 4]),
        ("up", "resize", vec![1, 4, 5, 7]),
        ("smooth", "avg_pool", vec![1, 4, 4, 6]),
        ("softmax", "softmax", vec![1, 4, 4, 6]),
        ("top", "global_max_pool", vec![1, 4, 1, 1]),
    ];
    assert_eq!(
        seen,
        expected.map(|(path, kind, dims)| (path.to_string(), kind, dims))
    );

    struct Stop;
    impl Observer for Stop {
        fn exit(&self, event: &Event<'_>) -> Result<()> {
            candle_core::bail!("seen enough at {}", event.path)
        }
    }
    let message = chain
        .forward(&maps([1, 8, 9, 3]), &Context::eval().with_observer(&Stop))
        .unwrap_err()
        .to_string();
    assert!(message.contains("seen enough at conv"), "{message}");
}

#[test]
fn errors_say_which_layer_and_why() {
    let root = Store::new(0).builder(Mode::Eval);
    let conv = Conv2dConfig::new(3, 4, 5)
        .build(&root.pp("features").pp(0))
        .unwrap();
    let message = conv
        .forward(&maps([1, 4, 9, 3]), &Context::eval())
        .unwrap_err()
        .to_string();
    assert!(
        message
            .starts_with("features.0 (conv2d): conv2d: a window of 5 along the height does not fit into an input of 4"),
        "{message}"
    );
    let message = Conv2dConfig::new(3, 4, 5)
        .with_groups(2)
        .build(&root.pp("x"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("x: groups is 2, expected a divisor of 3 in_channels and 4 out_channels"),
        "{message}"
    );
    let linear = LinearConfig::new(6, 2).build(&root.pp("fc")).unwrap();
    let message = linear
        .forward(
            &Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap(),
            &Context::eval(),
        )
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("fc (linear): the input has shape [3, 5], expected [3, 6]"),
        "{message}"
    );
    assert!(LinearConfig::new(0, 2).build(&root.pp("none")).is_err());
}

#[test]
fn transposed_convolutions_start_as_pytorchs_and_compute_alike_in_every_mode() {
    let store = Store::new(0);
    let config = ConvTranspose2dConfig::new(64, 96, 4)
        .with_stride(2)
        .with_padding(1)
        .with_groups(2);
    let build = |mode| config.build(&store.builder(mode).pp("up")).unwrap();
    let up = build(Mode::Train);
    // torch.nn.ConvTranspose2d counts a fan_in of out / groups · 4 · 4.
    let bound = 1. / (48f32 * 16.).sqrt();
    for (name, shape) in [("up.weight", vec![64, 48, 4, 4]), ("up.bias", vec![96])] {
        let parameter = store.get(name).unwrap();
        assert_eq!(parameter.dims(), shape);
        let values = parameter.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let largest = values
            .iter()
            .fold(0f32, |largest, value| largest.max(value.abs()));
        assert!(
            largest <= bound && largest > 0.9 * bound,
            "{name}: {largest}"
        );
    }
    let xs = maps([2, 5, 7, 64]);
    let ys = up.forward(&xs, &Context::train(Key::new(0))).unwrap();
    assert_eq!(ys.dims(), [2, 10, 14, 96]);
    for mode in [Mode::Eval, Mode::Inference] {
        let found = build(mode).forward(&xs, &Context::eval()).unwrap();
        assert!(values(&found) == values(&ys), "{mode:?}");
    }
    let place = || store.builder(Mode::Eval).pp("other");
    for (config, expected) in [
        (
            ConvTranspose2dConfig::new(6, 4, 3).with_groups(4),
            "other: groups is 4, expected a divisor of 6 in_channels and 4 out_channels",
        ),
        (
            ConvTranspose2dConfig::new(6, 4, 3)
                .with_stride(2)
                .with_output_padding(2),
            "output_padding is 2, expected less than the stride 2",
        ),
        (
            ConvTranspose2dConfig::new(6, 4, 0),
            "kernel size is 0, expected at least 1",
        ),
    ] {
        let error = config.build(&place()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_map_is_resized_to_the_size_of_another() {
    let root = Store::new(0).builder(Mode::Eval);
    let corners = Interpolation::Bilinear {
        align_corners: true,
    };
    let up = ResizeLike::new(corners, &root.pp("up"));
    let ys = up
        .forward(&maps([2, 3, 4, 5]), &maps([1, 9, 13, 2]), &Context::eval())
        .unwrap();
    assert_eq!(ys.dims(), [2, 9, 13, 5]);
    let error = up
        .forward(&maps([2, 3, 4, 5]), &maps([2, 0, 4, 5]), &Context::eval())
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("up (resize): resize: output size is 0, expected 1 to 1048576"),
        "{error}"
    );
}

#[test]
fn gradients_reach_trainable_parameters_only_and_follow_the_backward_rule() {
    let store = Store::new(0);
    let build = || {
        let root = store.builder(Mode::Train);
        Sequential::new()
            .add(
                Conv2dConfig::new(2, 3, 3)
                    .build(&root.pp("frozen"))
                    .unwrap(),
            )
            .add(Activate::new(Activation::Relu, &root.pp("act")))
            .add(Conv2dConfig::new(3, 1, 1).build(&root.pp("free")).unwrap())
    };
    build();
    assert_eq!(
        store.set_trainable(false, |name| name.starts_with("frozen")),
        2
    );
    // Gradients of both signs, so that the rules differ.
    store
        .set(
            "free.weight",
            &Tensor::new(&[[[[1f32]], [[-1.]], [[0.5]]]], &Device::Cpu).unwrap(),
        )
        .unwrap();
    let input = Var::from_tensor(&maps([1, 5, 6, 2]).to_nhwc()).unwrap();
    let gradient = |rule| {
        let xs = FeatureMap::from_nhwc(&input).unwrap();
        let ys = build()
            .forward(&xs, &Context::eval().with_backward_rule(rule))
            .unwrap();
        let grads = ys.to_nhwc().sum_all().unwrap().backward().unwrap();
        assert_eq!(store.trainable().len(), 2);
        assert!(
            store
                .trainable()
                .iter()
                .all(|(name, var)| name.starts_with("free") && grads.get(var).is_some())
        );
        grads
            .get(&input)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
    };
    assert_ne!(
        gradient(BackwardRule::Standard),
        gradient(BackwardRule::Guided)
    );
    assert_ne!(
        gradient(BackwardRule::Guided),
        gradient(BackwardRule::Deconvnet)
    );
}

#[test]
fn no_gradient_is_computed_for_frozen_weights() {
    let store = Store::new(0);
    let build = || {
        let root = store.builder(Mode::Train);
        let conv = Conv2dConfig::new(2, 3, 2).build(&root.pp("conv")).unwrap();
        (conv, LinearConfig::new(3, 2).build(&root.pp("fc")).unwrap())
    };
    build();
    store.set_trainable(false, |name| name.ends_with("weight"));
    let (conv, linear) = build();
    let cx = Context::eval();
    let pixels = conv
        .forward(&maps([2, 2, 2, 2]), &cx)
        .unwrap()
        .flatten()
        .unwrap();
    let grads = linear
        .forward(&pixels, &cx)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    assert!(grads.get(conv.weight()).is_none() && grads.get(linear.weight()).is_none());
    assert!(
        store
            .trainable()
            .iter()
            .all(|(name, var)| name.ends_with("bias") && grads.get(var).is_some())
    );
}

#[test]
fn evaluation_records_no_graph_and_training_draws_from_its_key() {
    let store = Store::new(0);
    let block = DepthwiseSeparableConfig::new(4, 4, 1)
        .with_residual()
        .with_options(BlockOptions::new().with_drop_path(0.5));
    let eval = block.build(&store.builder(Mode::Eval)).unwrap();
    assert!(
        !eval
            .forward(&maps([8, 3, 5, 4]), &Context::eval())
            .unwrap()
            .is_tracked()
    );
    let train = block.build(&store.builder(Mode::Train)).unwrap();
    let draw = |seed| {
        train
            .forward(&maps([8, 3, 5, 4]), &Context::train(Key::new(seed)))
            .unwrap()
    };
    assert!(draw(1).is_tracked());
    assert_eq!(sum(&draw(1)), sum(&draw(1)));
    assert_ne!(sum(&draw(1)), sum(&draw(2)));
}

#[test]
fn a_place_is_taken_once_unless_it_is_shared() {
    let store = Store::new(0);
    let linear = LinearConfig::new(3, 3);
    let root = store.builder(Mode::Train);
    linear.build(&root.pp("fc")).unwrap();
    let error = linear.build(&root.pp("fc")).unwrap_err();
    assert!(matches!(
        Error::find(&error),
        Some(Error::Taken { name }) if name == "fc.weight"
    ));
    // Two layers that are meant to be one, and the model built again.
    linear.build(&root.pp("fc").shared()).unwrap();
    linear.build(&root.shared().pp("fc")).unwrap();
    linear.build(&store.builder(Mode::Eval).pp("fc")).unwrap();
    assert_eq!(store.names(), ["fc.weight", "fc.bias"]);
    // Buffers are names, too.
    let norm = BatchNorm2dConfig::new(3);
    norm.build(&root.pp("bn")).unwrap();
    assert!(norm.build(&root.pp("bn")).is_err());
}

#[test]
fn what_was_built_for_inference_is_refused_once_the_weights_are_others() {
    let store = Store::new(0);
    let build = || {
        let root = store.builder(Mode::Inference);
        let unit = ConvNormActConfig::relu(3, 4, 3);
        let unit = unit.build(&root.pp("conv"), &root.pp("bn")).unwrap();
        let fc = LinearConfig::new(4, 2).build(&root.pp("fc")).unwrap();
        (unit, fc)
    };
    let xs = maps([1, 5, 6, 3]);
    let cx = Context::eval();
    let (unit, fc) = build();
    let ys = unit.forward(&xs, &cx).unwrap();
    let pixels = ys.to_nhwc().reshape(((), 4)).unwrap();
    fc.forward(&pixels, &cx).unwrap();

    let ones = Tensor::ones(4, DType::F32, &Device::Cpu).unwrap();
    store.load([("bn.running_mean", ones)]).unwrap();
    for error in [
        unit.forward(&xs, &cx).unwrap_err(),
        fc.forward(&pixels, &cx).unwrap_err(),
    ] {
        let found = Error::find(&error).unwrap();
        let stale = match found {
            Error::Layer { source, .. } => Error::find(source).unwrap(),
            other => other,
        };
        assert!(matches!(stale, Error::Stale { .. }), "{error}");
    }
    // Built again it has the new statistics.
    let (unit, _) = build();
    assert!(values(&unit.forward(&xs, &cx).unwrap()) != values(&ys));
    // A training build moves the running statistics, which is a change, too.
    let root = store.builder(Mode::Train);
    let trained = ConvNormActConfig::relu(3, 4, 3);
    let trained = trained.build(&root.pp("conv"), &root.pp("bn")).unwrap();
    trained.forward(&xs, &Context::train(Key::new(0))).unwrap();
    assert!(unit.forward(&xs, &cx).is_err());
}

#[test]
fn a_store_loads_a_file_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fc.safetensors");
    let store = Store::new(0);
    LinearConfig::new(3, 2)
        .build(&store.builder(Mode::Eval).pp("fc"))
        .unwrap();
    cnn_weights::save_safetensors(&path, &store.tensors(), &Default::default()).unwrap();
    let other = Store::new(1);
    LinearConfig::new(3, 2)
        .build(&other.builder(Mode::Eval).pp("fc"))
        .unwrap();
    let report = other.load_file(&path).unwrap();
    assert_eq!(report.loaded, ["fc.bias", "fc.weight"]);
    let weight = |store: &Store| store.get("fc.weight").unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(weight(&other), weight(&store));
    let error = other
        .load_file(directory.path().join("absent.safetensors"))
        .unwrap_err();
    assert!(
        find_error::<cnn_weights::Error>(&error).is_some(),
        "{error}"
    );
}
