//! A training step keeps candle's own threads out: they would go on spinning beside those of the
//! kernels.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use cnn_core::Key;
use cnn_layers::{
    Activation, BatchNorm2dConfig, Context, Conv2dConfig, ConvNormActConfig, FeatureMap,
    GlobalAvgPool2d, Layer, LinearConfig, Mode, Store, backward,
};
use cnn_train::{
    CrossEntropy, Gradients, Optimizer, OptimizerConfig, Rates, Targets, decay_groups,
};

/// Whether candle has started its threads.
fn candles_threads() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.into_iter().any(|name| name.starts_with("candle-bp"))
}

#[test]
fn a_step_with_large_parameters_and_maps_does_not_start_candles_threads() {
    let store = Store::new(0);
    let root = store.builder(Mode::Train);
    let unit = |from, to, name: &str| {
        let conv = Conv2dConfig::new(from, to, 3);
        let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(to), Activation::Relu);
        unit.build(&root.pp(name).pp("conv"), &root.pp(name).pp("bn"))
            .unwrap()
    };
    let first = unit(3, 128, "first");
    let second = unit(128, 128, "second");
    let pool = GlobalAvgPool2d::new().at(&root.pp("pool"));
    let head = LinearConfig::new(128, 600).build(&root.pp("head")).unwrap();
    let sizes = store
        .trainable()
        .into_iter()
        .filter(|(_, var)| var.elem_count() >= 1 << 16)
        .count();
    assert_eq!(
        sizes, 2,
        "a convolution and the head are as large as what candle shares among threads"
    );

    let images =
        FeatureMap::from_nhwc(&Tensor::ones((8, 20, 24, 3), DType::F32, &Device::Cpu).unwrap())
            .unwrap();
    let cx = Context::train(Key::new(0));
    let maps = second
        .forward(&first.forward(&images, &cx).unwrap(), &cx)
        .unwrap();
    let logits = head
        .forward(&pool.forward(&maps, &cx).unwrap().flatten().unwrap(), &cx)
        .unwrap();
    let loss = CrossEntropy::default()
        .loss(&logits, &Targets::Classes((0..8).collect()))
        .unwrap();
    let mut optimizer = Optimizer::new(
        OptimizerConfig::adamw(),
        decay_groups(store.trainable(), 0.01),
    )
    .unwrap();
    let gradients = Gradients::take(&mut backward(&loss).unwrap(), &optimizer);
    assert_eq!(gradients.iter().count(), store.trainable().len());
    assert!(gradients.norm().unwrap().is_finite());
    optimizer
        .step(
            &gradients,
            &Rates {
                lr: 0.1,
                momentum: None,
            },
        )
        .unwrap();
    assert!(!candles_threads());

    // The check sees them where there are any: one processor, or a variable, may keep candle to one
    // thread.
    let many = std::thread::available_parallelism().is_ok_and(|threads| threads.get() > 1);
    let large = Tensor::ones(1 << 17, DType::F32, &Device::Cpu).unwrap();
    (&large + &large).unwrap();
    let limited = ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    assert!(candles_threads() || !many || limited);
}
