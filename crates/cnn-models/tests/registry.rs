//! What must hold for every entry of the registry.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use cnn_layers::{Context, Event, FeatureMap, Mode, Observer, Padding, Store, TensorKind};
use cnn_models::{Kind, LoadOptions, ModelConfig, ModelSpec, Network, find, models_of};

use common::{smallest_of_each_family, tested_size};

fn build(spec: &ModelSpec, config: &ModelConfig) -> (Store, Box<dyn cnn_layers::Classifier>) {
    let store = Store::new(0);
    let model = spec
        .build_classifier(config, &store.builder(Mode::Eval))
        .unwrap();
    (store, model)
}

/// The counts that torchvision publishes, from the shared reference files where these are
/// present.
#[test]
fn parameters_and_multiply_adds_are_the_published_ones() {
    let mut with_auxiliary: BTreeMap<&str, usize> = BTreeMap::new();
    for spec in models_of(Kind::Classification) {
        let store = Store::blank();
        spec.build_classifier(&ModelConfig::default(), &store.builder(Mode::Eval))
            .unwrap();
        let is_of_head = |name: &str| {
            let mut heads = spec.auxiliary.iter();
            heads.any(|head| name.starts_with(&format!("{head}.")))
        };
        let entries = store.entries();
        let of_heads = entries
            .iter()
            .filter(|entry| entry.kind == TensorKind::Parameter && is_of_head(&entry.name))
            .map(|entry| entry.shape.iter().product::<usize>())
            .sum::<usize>();
        let all = store.parameter_count();
        assert_eq!(all - of_heads, spec.parameters, "{}", spec.name);
        assert_eq!(of_heads > 0, !spec.auxiliary.is_empty(), "{}", spec.name);
        with_auxiliary.insert(spec.name, all);
    }
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/reference/torchvision_weights.json"
    );
    let Ok(text) = std::fs::read_to_string(path) else {
        assert!(
            std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
            "{path} is absent"
        );
        println!("shared data absent, skipped");
        return;
    };
    let entries: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let mut compared = BTreeSet::new();
    for entry in &entries {
        let theirs = entry["model"].as_str().unwrap();
        let named = TORCHVISION_NAMES.iter().find(|(name, _)| *name == theirs);
        let ours = named.map_or(theirs, |&(_, ours)| ours);
        let Some(spec) = models_of(Kind::Classification).find(|spec| spec.name == ours) else {
            continue;
        };
        let count = entry["num_params"].as_u64().unwrap();
        // torchvision counts Inception-v3's auxiliary head, and not GoogLeNet's.
        let counted = [spec.parameters, with_auxiliary[spec.name]];
        assert!(counted.contains(&(count as usize)), "{ours}: {count}");
        compared.insert(ours);
        // Multiply-adds are published for the images that torchvision evaluates with.
        let [_, height, width] = spec.preprocessing().input_size;
        let crop = entry["preprocess"]["crop_size"][0].as_u64().unwrap() as usize;
        if [crop; 2] != [height, width] {
            continue;
        }
        // Published in thousand millions, to three decimals.
        let published = entry["gmacs"].as_f64().unwrap();
        let counted = spec.multiply_adds as f64 / 1e9;
        assert!(
            (counted - published).abs() < 0.000_501,
            "{ours}: {counted} instead of {published}"
        );
    }
    let is_classifier = |entry: &&serde_json::Value| entry["metrics"].get("acc@1").is_some();
    let absent: BTreeSet<&str> = entries
        .iter()
        .filter(is_classifier)
        .map(|entry| entry["model"].as_str().unwrap())
        .filter(|theirs| {
            let named = TORCHVISION_NAMES.iter().find(|(name, _)| name == theirs);
            !compared.contains(named.map_or(*theirs, |(_, ours)| *ours))
        })
        .collect();
    assert_eq!(
        absent.into_iter().collect::<Vec<_>>(),
        TORCHVISIONS_OWN,
        "what torchvision publishes and is not here"
    );
}

/// What torchvision calls models that have another name here.
const TORCHVISION_NAMES: &[(&str, &str)] = &[
    ("efficientnet_v2_l", "efficientnetv2_l"),
    ("efficientnet_v2_m", "efficientnetv2_m"),
    ("efficientnet_v2_s", "efficientnetv2_s"),
    ("mnasnet0_5", "mnasnet_050"),
    ("mnasnet0_75", "mnasnet_075"),
    ("mnasnet1_0", "mnasnet_100"),
    ("mnasnet1_3", "mnasnet_130"),
    ("mobilenet_v2", "mobilenetv2_100"),
    ("mobilenet_v3_large", "mobilenetv3_large_100"),
    ("mobilenet_v3_small", "mobilenetv3_small_100"),
    ("regnet_x_400mf", "regnetx_004_tv"),
    ("regnet_x_800mf", "regnetx_008"),
    ("regnet_x_1_6gf", "regnetx_016"),
    ("regnet_x_3_2gf", "regnetx_032"),
    ("regnet_y_400mf", "regnety_004"),
    ("regnet_y_800mf", "regnety_008_tv"),
    ("regnet_y_1_6gf", "regnety_016"),
    ("regnet_y_3_2gf", "regnety_032"),
];

/// Classifiers of torchvision that are not here, in order.
const TORCHVISIONS_OWN: [&str; 7] = [
    "convnext_large",
    "regnet_x_16gf",
    "regnet_x_32gf",
    "regnet_x_8gf",
    "regnet_y_16gf",
    "regnet_y_32gf",
    "regnet_y_8gf",
];

/// Whether a convolution or a pooling has less padding than keeps the borders of its input.
#[derive(Default)]
struct LostBorders(Cell<bool>);

impl Observer for LostBorders {
    fn exit(&self, event: &Event<'_>) -> candle_core::Result<()> {
        let Some(window) = event.kind.window() else {
            return Ok(());
        };
        let padding = match window.padding {
            Padding::Same => return Ok(()),
            Padding::Explicit {
                top,
                bottom,
                left,
                right,
            } => [top + bottom, left + right],
            _ => [0, 0],
        };
        let loses = |axis: usize| padding[axis] + window.stride[axis] < window.kernel_size[axis];
        self.0.set(self.0.get() || loses(0) || loses(1));
        Ok(())
    }
}

#[test]
fn stages_have_the_declared_channels_and_reductions_on_a_non_square_input() {
    for spec in models_of(Kind::Classification) {
        let [height, width] = tested_size(spec);
        let config = ModelConfig {
            input_size: Some([height, width]),
            ..spec.reduced_config()
        };
        let (_, model) = build(spec, &config);
        let xs = Tensor::zeros(
            (1, spec.in_channels, height, width),
            DType::F32,
            &Device::Cpu,
        )
        .unwrap();
        let xs = FeatureMap::from_nchw(&xs).unwrap();
        let borders = LostBorders::default();
        let stages = model
            .forward_stages(&xs, &Context::eval().with_observer(&borders))
            .unwrap();
        assert_eq!(stages.len(), model.stages().len());
        for (map, info) in stages.iter().zip(model.stages()) {
            assert_eq!(
                map.channels(),
                info.channels,
                "{} {}",
                spec.name,
                info.module
            );
            for (size, input) in [(map.height(), height), (map.width(), width)] {
                // Windows without padding lose a border.
                let lost = input / info.reduction - size;
                let border = if borders.0.get() { 4 } else { 0 };
                assert!(
                    lost <= border,
                    "{} {}: {size} for {input} at 1/{}",
                    spec.name,
                    info.module,
                    info.reduction
                );
            }
        }
        // Going on from any stage ends in the same map as going through.
        let whole = model.forward_features(&xs, &Context::eval()).unwrap();
        assert_eq!(whole.channels(), model.num_features());
        for (index, map) in stages.iter().enumerate().rev().step_by(2) {
            let features = model.forward_from(index, map, &Context::eval()).unwrap();
            let difference = (features.to_nhwc() - whole.to_nhwc())
                .unwrap()
                .abs()
                .unwrap()
                .max_all()
                .unwrap();
            assert_eq!(
                difference.to_scalar::<f32>().unwrap(),
                0.,
                "{} from stage {index}",
                spec.name
            );
        }
        let message = model
            .forward_from(99, &whole, &Context::eval())
            .unwrap_err()
            .to_string();
        assert!(message.contains("stage 99 does not exist"), "{message}");
    }
}

#[test]
fn each_parameter_is_in_exactly_one_group_and_the_head_is_last() {
    for spec in models_of(Kind::Classification) {
        let store = Store::blank();
        let model = spec
            .build_classifier(&spec.reduced_config(), &store.builder(Mode::Eval))
            .unwrap();
        let groups = model.layer_groups();
        for entry in store
            .entries()
            .iter()
            .filter(|entry| entry.kind == TensorKind::Parameter)
        {
            let count = groups
                .iter()
                .filter(|group| group.contains(&entry.name))
                .count();
            assert_eq!(
                count, 1,
                "{}: {} is in {count} groups",
                spec.name, entry.name
            );
        }
        let head = groups.last().unwrap();
        assert!(
            head.contains(&format!("{}.weight", spec.classifier)),
            "{}: {head:?}",
            spec.name
        );
        // Which module reads the image is its body's where it has one.
        let first_conv = format!("{}.weight", spec.first_conv);
        assert!(
            spec.body.is_some() || store.names().contains(&first_conv),
            "{}",
            spec.name
        );
    }
}

#[test]
fn a_saved_network_loads_again_with_the_same_logits() {
    let directory = tempfile::tempdir().unwrap();
    for spec in models_of(Kind::Classification).filter(|spec| spec.parameters < 3_000_000) {
        let config = ModelConfig {
            num_classes: Some(3),
            ..ModelConfig::default()
        };
        let mut network = Network::new(spec.name, &config, 7).unwrap();
        network
            .set_label_names(vec!["a".into(), "b".into(), "c".into()])
            .unwrap();
        let path = directory.path().join(spec.name);
        network.save(&path).unwrap();
        let again = Network::load(&path, &LoadOptions::default()).unwrap();
        assert_eq!(again.label_names().unwrap(), ["a", "b", "c"]);
        assert_eq!(
            (again.spec().name, again.preprocessing()),
            (spec.name, network.preprocessing())
        );
        assert!(again.report().is_exact(), "{}", again.report());
        for (name, tensor) in network.store().tensors() {
            let bytes = |t: &Tensor| {
                format!(
                    "{:?}",
                    t.flatten_all()
                        .unwrap()
                        .to_dtype(DType::F32)
                        .unwrap()
                        .to_vec1::<f32>()
                        .unwrap()
                )
            };
            assert_eq!(
                bytes(&tensor),
                bytes(&again.store().get(&name).unwrap()),
                "{} {name}",
                spec.name
            );
        }
    }
}

#[test]
fn other_channels_and_classes_adapt_the_weights() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    network.save(directory.path()).unwrap();
    let load = |options| Network::load(directory.path(), &options).unwrap();
    let grey = load(LoadOptions {
        in_channels: Some(1),
        ..LoadOptions::default()
    });
    let rgb = network.store().get("conv1.weight").unwrap();
    let sum = (rgb.sum_keepdim(1).unwrap() - grey.store().get("conv1.weight").unwrap())
        .unwrap()
        .abs()
        .unwrap();
    assert!(sum.max_all().unwrap().to_scalar::<f32>().unwrap() < 1e-6);
    assert_eq!(
        (
            grey.preprocessing().channels(),
            grey.preprocessing().mean.len()
        ),
        (1, 1)
    );
    let four = load(LoadOptions {
        in_channels: Some(4),
        ..LoadOptions::default()
    });
    assert_eq!(
        four.store().get("conv1.weight").unwrap().dims(),
        [16, 4, 3, 3]
    );
    let seven = load(LoadOptions {
        num_classes: Some(7),
        ..LoadOptions::default()
    });
    assert_eq!(seven.model().num_classes(), 7);
    assert_eq!(seven.store().get("linear.weight").unwrap().dims(), [7, 64]);
    let same = |name: &str| {
        let difference =
            (network.store().get(name).unwrap() - seven.store().get(name).unwrap()).unwrap();
        difference
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
            == 0.
    };
    assert!(same("layer3.0.conv2.weight"));
}

#[test]
fn what_does_not_fit_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    network.save(directory.path()).unwrap();
    let load = |model: &str| {
        let options = LoadOptions {
            spec: Some(*find(model).unwrap()),
            ..LoadOptions::default()
        };
        Network::load(directory.path(), &options)
            .unwrap_err()
            .to_string()
    };
    assert!(load("resnet20_cifar10").contains(
        "says architecture `resnet8_cifar10`, but model `resnet20_cifar10` was asked for"
    ));
    let config = directory.path().join("config.json");
    let text = std::fs::read_to_string(&config)
        .unwrap()
        .replace("\"num_classes\": 10", "\"num_classes\": 100000");
    let text = text.replace("\"label_names\"", "\"names\"");
    std::fs::write(&config, text).unwrap();
    let message = Network::load(directory.path(), &LoadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("num_classes is 100000, but the weights' `linear.weight` is made for 10"),
        "{message}"
    );
    std::fs::remove_file(config).unwrap();
    let message = load("resnet20_cifar10");
    assert!(
        message.contains("layer1.1.conv1.weight")
            && message.ends_with("its tensors are those of `resnet8_cifar10`"),
        "{message}"
    );
    let message = Network::load(directory.path(), &LoadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.ends_with("; its tensors are those of `resnet8_cifar10`: name the model"),
        "{message}"
    );
    let message = Network::load(&directory.path().join("absent"), &LoadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(message.contains("absent"), "{message}");
    let tiny = ModelConfig {
        input_size: Some([8, 8]),
        ..ModelConfig::default()
    };
    assert!(
        Network::new("lenet5", &tiny, 0)
            .unwrap_err()
            .to_string()
            .contains("input_size is 8×8, expected at least 12×12")
    );
}

/// `base + spread · x` for every value of a buffer or parameter whose name ends so, with `x`
/// between -1 and 1: trained norms are not what they start as.
fn disturb(store: &Store, ending: &str, base: f64, spread: f64) {
    for name in store
        .names()
        .into_iter()
        .filter(|name| name.ends_with(ending))
    {
        let old = store.get(&name).unwrap();
        let values: Vec<f64> = (0..old.elem_count())
            .map(|i| base + spread * (0.7 + 1.9 * i as f64).sin())
            .collect();
        store
            .set(
                &name,
                &Tensor::from_vec(values, old.shape(), &Device::Cpu).unwrap(),
            )
            .unwrap();
    }
}

#[test]
fn the_inference_mode_computes_what_evaluation_does_in_both_types() {
    let smallest: Vec<&str> = smallest_of_each_family()
        .into_iter()
        .map(|spec| spec.name)
        .collect();
    for spec in models_of(Kind::Classification) {
        let size = tested_size(spec);
        let config = ModelConfig {
            input_size: Some(size),
            ..spec.reduced_config()
        };
        for (dtype, tolerance) in [(DType::F32, 3e-5), (DType::F64, 1e-12)] {
            // In f64 it is the plain operations, which do not depend on the variant.
            if dtype == DType::F64 && !smallest.contains(&spec.name) {
                continue;
            }
            let store = Store::with_dtype(0, dtype, &Device::Cpu);
            let eval = spec
                .build_classifier(&config, &store.builder(Mode::Eval))
                .unwrap();
            disturb(&store, "running_mean", 0.1, 0.2);
            disturb(&store, "running_var", 1.1, 0.3);
            // Biases, and the factors and offsets of norms and branches.
            let vectors = store
                .entries()
                .into_iter()
                .filter(|entry| entry.kind == TensorKind::Parameter && entry.shape.len() == 1);
            for entry in vectors {
                let (base, spread) = if entry.name.ends_with("bias") {
                    (0.05, 0.1)
                } else {
                    (0.9, 0.3)
                };
                disturb(&store, &entry.name, base, spread);
            }
            let inference = spec
                .build_classifier(&config, &store.builder(Mode::Inference))
                .unwrap();
            let elements = 2 * spec.in_channels * size[0] * size[1];
            let image: Vec<f64> = (0..elements).map(|i| (0.37 * i as f64).sin()).collect();
            let image =
                Tensor::from_vec(image, (2, size[0], size[1], spec.in_channels), &Device::Cpu)
                    .unwrap();
            let xs = FeatureMap::from_nhwc(&image.to_dtype(dtype).unwrap()).unwrap();
            let logits = |model: &dyn cnn_layers::Classifier| -> Vec<f64> {
                let logits = model
                    .forward(&xs, &Context::eval())
                    .unwrap()
                    .to_dtype(DType::F64)
                    .unwrap();
                logits.flatten_all().unwrap().to_vec1().unwrap()
            };
            let expected = logits(eval.as_ref());
            let found = logits(inference.as_ref());
            let largest = expected
                .iter()
                .fold(0f64, |largest, value| largest.max(value.abs()));
            assert!(largest > 0., "{}", spec.name);
            for (found, expected) in found.iter().zip(&expected) {
                let difference = (found - expected).abs() / largest;
                assert!(
                    difference <= tolerance,
                    "{} {dtype:?}: {found} for {expected}",
                    spec.name
                );
            }
        }
    }
}

#[test]
fn a_run_whose_program_wrote_no_config_is_read_once_the_model_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 5).unwrap();
    for place in ["best", "last"] {
        network.save(&run.join(place)).unwrap();
        std::fs::remove_file(run.join(place).join("config.json")).unwrap();
    }
    std::fs::copy(
        run.join("best/model.safetensors"),
        run.join("resume.safetensors"),
    )
    .unwrap();
    std::fs::copy(
        run.join("best/model.safetensors"),
        run.join("start.safetensors"),
    )
    .unwrap();
    for (path, named) in [(run.clone(), "best"), (run.join("last"), "last")] {
        let message = Network::load(&path, &LoadOptions::default())
            .unwrap_err()
            .to_string();
        let named = run.join(named).display().to_string();
        assert!(
            message.starts_with(&named) && message.contains("no config.json"),
            "{message}"
        );
        assert!(
            message.contains("name the model") && message.contains("with_companion"),
            "{message}"
        );
    }
    let options = LoadOptions {
        spec: Some(*find("resnet8_cifar10").unwrap()),
        ..LoadOptions::default()
    };
    let loaded = Network::load(&run, &options).unwrap();
    assert_eq!(
        loaded.weights_file(),
        Some(&*run.join("best/model.safetensors"))
    );

    // What the trainer goes on from is no weight file.
    std::fs::remove_dir_all(run.join("best")).unwrap();
    assert_eq!(
        Network::load(&run, &options).unwrap().weights_file(),
        Some(&*run.join("start.safetensors"))
    );
    std::fs::copy(run.join("start.safetensors"), run.join("other.bin")).unwrap();
    let message = Network::load(&run, &options).unwrap_err().to_string();
    assert!(
        message.contains("2 weight files, as other.bin and start.safetensors"),
        "{message}"
    );
    for name in ["start.safetensors", "other.bin"] {
        std::fs::remove_file(run.join(name)).unwrap();
    }
    let message = Network::load(&run, &options).unwrap_err().to_string();
    assert!(
        message.contains("a run that has no epoch behind it yet"),
        "{message}"
    );
}
