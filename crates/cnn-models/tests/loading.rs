//! Weights as people have them: under a wrapper's prefix, beside a moving average, with a
//! `config.json` of another year or another library.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use cnn_models::{LoadOptions, ModelConfig, Network, find};
use cnn_weights::save_safetensors;
use serde_json::{Value, json};
use tempfile::TempDir;

const MODEL: &str = "resnet8_cifar10";

type Named = Vec<(String, Tensor)>;

fn network(seed: u64) -> Network {
    Network::new(MODEL, &ModelConfig::default(), seed).unwrap()
}

fn options() -> LoadOptions {
    LoadOptions::of(*find(MODEL).unwrap())
}

fn prefixed(prefix: &str, tensors: Named) -> Named {
    let name = |(name, tensor)| (format!("{prefix}{name}"), tensor);
    tensors.into_iter().map(name).collect()
}

fn number(value: f32) -> Tensor {
    Tensor::full(value, (2,), &Device::Cpu).unwrap()
}

fn safetensors(directory: &TempDir, tensors: &Named) -> PathBuf {
    let path = directory.path().join("model.safetensors");
    save_safetensors(&path, tensors, &BTreeMap::new()).unwrap();
    path
}

/// A file as `torch.save` wrote it before 2020: the tensors of each entry, or of the root where the
/// entry has no name.
fn pth(directory: &TempDir, entries: &[(&str, Named)]) -> PathBuf {
    let text = |text: &str| {
        [
            b"X".as_slice(),
            &(text.len() as u32).to_le_bytes(),
            text.as_bytes(),
        ]
        .concat()
    };
    let int = |value: usize| [b"J".as_slice(), &(value as u32).to_le_bytes()].concat();
    let mut structure = b"\x80\x02}(".to_vec();
    let mut keys = b"\x80\x02](".to_vec();
    let mut storages = Vec::new();
    let mut count = 0;
    for (entry, tensors) in entries {
        if !entry.is_empty() {
            structure.extend(text(entry));
            structure.extend(b"}(");
        }
        for (name, tensor) in tensors {
            let values: Vec<f32> = tensor
                .to_dtype(DType::F32)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            let key = text(&count.to_string());
            structure.extend(text(name));
            structure.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
            structure.extend(text("storage"));
            structure.extend(b"ctorch\nFloatStorage\n");
            structure.extend(&key);
            structure.extend(text("cpu"));
            structure.extend(int(values.len()));
            structure.extend(b"NtQK\0(");
            for &size in tensor.dims() {
                structure.extend(int(size));
            }
            structure.extend(b"t(");
            for size in tensor.stride() {
                structure.extend(int(*size));
            }
            structure.extend(b"t\x89NtR");
            keys.extend(&key);
            storages.extend((values.len() as u64).to_le_bytes());
            storages.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            count += 1;
        }
        if !entry.is_empty() {
            structure.extend(b"u");
        }
    }
    structure.extend(b"u.");
    keys.extend(b"e.");
    let head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let path = directory.path().join("model.pth");
    std::fs::write(
        &path,
        [head.as_slice(), &structure, &keys, &storages].concat(),
    )
    .unwrap();
    path
}

fn values(network: &Network) -> Vec<Vec<f32>> {
    let tensors = network.store().tensors();
    let values = |(_, tensor): (String, Tensor)| {
        let tensor = tensor.to_dtype(DType::F32).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    tensors.into_iter().map(values).collect()
}

#[test]
fn prefixes_of_wrappers_are_dropped_in_every_format() {
    let network = network(1);
    let expected = values(&network);
    for prefix in [
        "",
        "module.",
        "_orig_mod.",
        "_orig_mod.module.",
        "module._orig_mod.",
        "model.",
        "net.",
        "ema.",
        "timm_model.",
        "backbone.",
        "learner.model._orig_mod.module.",
    ] {
        let tensors = prefixed(prefix, network.store().tensors());
        let directory = tempfile::tempdir().unwrap();
        let files = [
            safetensors(&directory, &tensors),
            pth(&directory, &[("", tensors.clone())]),
        ];
        for path in files {
            let loaded = Network::load(&path, &options()).unwrap();
            assert_eq!(values(&loaded), expected, "{prefix} {}", path.display());
            assert!(loaded.report().unexpected.is_empty());
            let mut parts: Vec<&str> = loaded
                .loaded_from()
                .wrappers
                .iter()
                .flat_map(|wrapper| wrapper.split_terminator('.'))
                .collect();
            parts.sort_unstable();
            let mut wanted: Vec<&str> = prefix.split_terminator('.').collect();
            wanted.sort_unstable();
            assert_eq!(parts, wanted, "{prefix}");
        }
    }
}

#[test]
fn what_lies_beside_a_wrapped_network_is_reported() {
    let network = network(1);
    let directory = tempfile::tempdir().unwrap();
    for (prefix, beside) in [("module.", "n_averaged"), ("model.", "criterion.weight")] {
        let mut tensors = prefixed(prefix, network.store().tensors());
        tensors.insert(0, (beside.to_string(), number(12.)));
        let loaded = Network::load(&safetensors(&directory, &tensors), &options()).unwrap();
        assert_eq!(values(&loaded), values(&network));
        assert_eq!(loaded.report().unexpected, [beside]);
    }
    // Blocks that were wrapped one by one.
    let within = |(name, tensor): (String, Tensor)| {
        let name = name.replace("layer1.0.", "layer1.0._checkpoint_wrapped_module.");
        (name.replace("linear.", "linear._orig_mod."), tensor)
    };
    let tensors = network.store().tensors().into_iter().map(within).collect();
    let loaded = Network::load(&safetensors(&directory, &tensors), &options()).unwrap();
    assert_eq!(values(&loaded), values(&network));
    assert_eq!(
        loaded.loaded_from().wrappers,
        ["_orig_mod.", "_checkpoint_wrapped_module."]
    );
}

#[test]
fn a_prefix_is_named_where_the_weights_do_not_fit() {
    let network = network(1);
    let directory = tempfile::tempdir().unwrap();
    let mut tensors = prefixed("model.", network.store().tensors());
    tensors.retain(|(name, _)| name != "model.layer2.0.bn1.bias");
    let message = Network::load(&safetensors(&directory, &tensors), &options())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("without the `model.` before its names: "),
        "{message}"
    );
    assert!(
        message.contains("\n  missing    layer2.0.bn1.bias"),
        "{message}"
    );
    assert!(message.contains("1 missing, 0 unexpected"), "{message}");

    // Without its first convolution a file has no prefix, though its blocks have convolutions of
    // that name.
    let mut tensors = network.store().tensors();
    tensors.retain(|(name, _)| name != "conv1.weight");
    let message = Network::load(&safetensors(&directory, &tensors), &options())
        .unwrap_err()
        .to_string();
    assert!(message.contains("loaded as resnet8_cifar10: "), "{message}");
    assert!(message.contains("1 missing, 0 unexpected"), "{message}");
}

#[test]
fn a_network_without_counters_or_head_has_its_prefix_found() {
    let network = network(1);
    let directory = tempfile::tempdir().unwrap();
    let mut tensors = prefixed("net.", network.store().tensors());
    tensors.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
    for (name, _) in &mut tensors {
        *name = name.replace("linear.", "linear.1.");
    }
    let path = safetensors(&directory, &tensors);
    let message = Network::load(&path, &options()).unwrap_err().to_string();
    for part in ["missing    linear.weight", "unexpected linear.1.weight"] {
        assert!(message.contains(part), "{message}");
    }
    let new_head = LoadOptions {
        num_classes: Some(3),
        ..options()
    };
    let loaded = Network::load(&path, &new_head).unwrap();
    let of_body = values(&loaded);
    let all = values(&network);
    assert_eq!(of_body[0], all[0]);
    assert_eq!(loaded.model().num_classes(), 3);
}

#[test]
fn of_several_networks_in_a_file_one_is_chosen_or_named() {
    let [plain, average] = [1, 2].map(network);
    let directory = tempfile::tempdir().unwrap();
    let average_wanted = LoadOptions {
        moving_average: true,
        ..options()
    };
    let both = |first: &str, second: &str| {
        let mut tensors = prefixed(first, plain.store().tensors());
        tensors.extend(prefixed(second, average.store().tensors()));
        safetensors(&directory, &tensors)
    };
    for (first, second) in [
        ("", "ema."),
        ("model.", "model_ema.module."),
        ("net.", "ema_model."),
    ] {
        let path = both(first, second);
        let loaded = Network::load(&path, &options()).unwrap();
        assert_eq!(values(&loaded), values(&plain), "{first} {second}");
        let loaded = Network::load(&path, &average_wanted).unwrap();
        assert_eq!(values(&loaded), values(&average), "{first} {second}");
    }
    let path = both("student.", "teacher.");
    let message = Network::load(&path, &options()).unwrap_err().to_string();
    assert!(
        message.contains(
            "holds resnet8_cifar10 under several prefixes, `student.`, `teacher.`: keep one"
        ),
        "{message}"
    );
    let message = Network::load(&path, &average_wanted)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("holds no moving average of the weights"),
        "{message}"
    );

    // Entries of a checkpoint.
    for (entry, other) in [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("net", "ema"),
    ] {
        let entries = [
            (other, prefixed("module.", average.store().tensors())),
            (entry, plain.store().tensors()),
        ];
        let path = pth(&directory, &entries);
        for (options, expected, chosen, others) in [
            (options(), &plain, entry, other),
            (average_wanted.clone(), &average, other, entry),
        ] {
            let loaded = Network::load(&path, &options).unwrap();
            assert_eq!(values(&loaded), values(expected), "{entry}");
            let from = loaded.loaded_from().chosen.clone().unwrap();
            assert_eq!(
                (from.entry.as_str(), from.others),
                (chosen, vec![others.to_string()])
            );
        }
    }
    let path = pth(&directory, &[("ema", average.store().tensors())]);
    let loaded = Network::load(&path, &options()).unwrap();
    assert_eq!(values(&loaded), values(&average));
    assert!(loaded.loaded_from().chosen.as_ref().unwrap().is_average);
    let path = pth(&directory, &[("state_dict", plain.store().tensors())]);
    let message = Network::load(&path, &average_wanted)
        .unwrap_err()
        .to_string();
    assert!(message.contains("holds no moving average"), "{message}");
}

fn with_config(directory: &Path, config: &Value) -> Result<Network, String> {
    std::fs::write(directory.join("config.json"), config.to_string()).unwrap();
    Network::load(directory, &LoadOptions::default()).map_err(|error| error.to_string())
}

#[test]
fn configurations_of_all_years_say_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    network(1).save(directory).unwrap();
    let names: Vec<String> = (0..10).map(|number| format!("class {number}")).collect();
    let numbered: Value = (0..10)
        .rev()
        .map(|number| (number.to_string(), json!(names[number])))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let record = json!({"input_size": [3, 32, 40], "interpolation": "bilinear", "crop_pct": 0.9,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.2, 0.1], "num_classes": 10, "first_conv": "conv1",
            "classifier": "linear", "tag": "x"});
    let root = json!({"architecture": MODEL, "num_classes": 10, "num_features": 64});
    let merged = |parts: &[&Value]| {
        let parts = parts
            .iter()
            .flat_map(|part| part.as_object().unwrap().clone());
        Value::Object(parts.collect())
    };
    let under = |record: Value| json!({"pretrained_cfg": record});
    let named = json!({"label_names": names});
    let architecture = json!({"architecture": MODEL});
    let descriptions: Value = names
        .iter()
        .map(|name| (name.clone(), json!("x")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let configs = [
        merged(&[&root, &named, &under(record.clone())]),
        merged(&[
            &architecture,
            &json!({"labels": names, "num_features": 64}),
            &record,
        ]),
        merged(&[&architecture, &named, &record]),
        merged(&[
            &architecture,
            &record,
            &json!({"label_names": numbered, "pretrained_cfg": null}),
        ]),
        merged(&[
            &root,
            &under(merged(&[
                &record,
                &named,
                &json!({"label_descriptions": descriptions}),
            ])),
        ]),
        merged(&[&root, &under(merged(&[&record, &json!({"labels": names})]))]),
        merged(&[
            &root,
            &json!({"label_names": numbered}),
            &under(record.clone()),
        ]),
        merged(&[
            &root,
            &named,
            &json!({"model_args": null, "label_descriptions": descriptions}),
            &under(record.clone()),
        ]),
        merged(&[
            &root,
            &named,
            &json!({"model_args": {"in_chans": 3, "num_classes": 10}}),
            &under(record.clone()),
        ]),
        merged(&[
            &root,
            &json!({"model_args": {}}),
            &under(merged(&[&record, &named, &architecture])),
        ]),
        merged(&[
            &root,
            &named,
            &json!({"model_type": "timm_wrapper",
                "architectures": ["TimmWrapperForImageClassification"],
            "model_args": null, "do_pooling": true}),
            &under(record.clone()),
        ]),
        merged(&[&under(merged(&[&record, &architecture])), &named]),
    ];
    let expected = with_config(directory, &configs[0]).unwrap();
    assert_eq!(expected.preprocessing().mean, [0.5, 0.4, 0.3]);
    assert_eq!(expected.label_names().unwrap(), names);
    for config in &configs {
        let network =
            with_config(directory, config).unwrap_or_else(|error| panic!("{config}: {error}"));
        assert_eq!(
            network.preprocessing(),
            expected.preprocessing(),
            "{config}"
        );
        assert_eq!(network.label_names(), expected.label_names(), "{config}");
        assert_eq!(network.config().extra["tag"], "x", "{config}");
        // What is written is what was read.
        let written: Value = serde_json::from_str(&network.config_json()).unwrap();
        let again = with_config(directory, &written).unwrap();
        assert_eq!(again.config(), network.config(), "{config}");
    }

    // A classifier of other classes keeps no descriptions of the old ones.
    let mut network = with_config(directory, &configs[4]).unwrap();
    assert!(network.config().extra.contains_key("label_descriptions"));
    network.set_label_names(names.clone()).unwrap();
    assert!(network.config().extra.contains_key("label_descriptions"));
    network
        .set_label_names(names.iter().map(|name| format!("other {name}")).collect())
        .unwrap();
    assert!(!network.config().extra.contains_key("label_descriptions"));
}

#[test]
fn contradictions_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    network(1).save(directory).unwrap();
    let names = |count: usize| {
        (0..count)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    };
    for (config, expected) in [
        (
            json!({"num_classes": 1000}),
            "num_classes is 1000, but the weights' `linear.weight` is made for 10",
        ),
        (
            json!({"label_names": names(9)}),
            "num_classes is 9, but the weights' `linear.weight` is made for 10",
        ),
        (
            json!({"labels": names(9), "num_classes": 10}),
            "`labels` has 9 names for 10 classes",
        ),
        (
            json!({"num_classes": 10, "model_args": {"num_classes": 5}}),
            "`num_classes` is 10, but 5 in `model_args`",
        ),
        (
            json!({"model_args": {"in_chans": 1}}),
            "the number of input channels is 1, but the weights' `conv1.weight` is made for 3",
        ),
        (
            json!({"mean": [0.5, 0.5]}),
            "`mean`: found [0.5, 0.5], expected 3 numbers",
        ),
        (
            json!({"pretrained_cfg": {"std": [0.5]}}),
            "`std`: found [0.5], expected 3 numbers",
        ),
        (
            json!({"num_classes": 10, "label_names": {"cat": 0}}),
            "`label_names` has the key \"cat\", expected class numbers from 0",
        ),
        (
            json!({"num_classes": 10, "label_names": {"0": "a", "00": "b"}}),
            "`label_names` names class 0 twice",
        ),
        (
            json!({"num_classes": 10, "label_names": {"10": "a"}}),
            "`label_names` names class 10, but there are 10 classes",
        ),
        (
            json!({"label_names": {"99999999999": "a"}}),
            "leaves some out, but `num_classes` is missing",
        ),
        (
            json!({"label_names": [1]}),
            "`label_names` has 1, expected strings",
        ),
        (
            json!({"label_names": "cat"}),
            "`label_names` is \"cat\", expected a list of strings",
        ),
        (
            json!({"label_descriptions": ["x"]}),
            "`label_descriptions` is [\"x\"], expected an object",
        ),
        (
            json!({"architecture": "vit_base"}),
            "unknown model `vit_base`",
        ),
        (
            json!({"architecture": null, "architectures": ["ViTForImageClassification"],
                "model_type": "vit"}),
            "`architecture` is missing",
        ),
    ] {
        let mut whole = json!({"architecture": MODEL});
        whole
            .as_object_mut()
            .unwrap()
            .extend(config.as_object().unwrap().clone());
        let message = with_config(directory, &whole).unwrap_err();
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
    }
    let message = with_config(
        directory,
        &json!({"architectures": ["ViTForImageClassification"], "model_type": "vit"}),
    )
    .unwrap_err();
    assert!(
        message.contains(
            "config.json: this is a network of transformers, `vit` (`ViTForImageClassification`)"
        ),
        "{message}"
    );

    // Classes that are left out are called by their number, as they may be in timm.
    let sparse = json!({"architecture": MODEL, "num_classes": 10, "label_names": {"3": "owl"}});
    let names = with_config(directory, &sparse).unwrap();
    let names = names.label_names().unwrap();
    assert_eq!((names[2].as_str(), names[3].as_str()), ("2", "owl"));
}

#[test]
fn a_grey_network_of_timm_has_one_channel_in_its_record() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let grey = ModelConfig {
        in_channels: Some(1),
        ..ModelConfig::default()
    };
    Network::new(MODEL, &grey, 0)
        .unwrap()
        .save(directory)
        .unwrap();
    for (record, mean) in [
        (
            json!({"input_size": [3, 32, 32], "mean": [0.2], "std": [0.3]}),
            0.2,
        ),
        (
            json!({"mean": [0.1, 0.2, 0.3], "std": [0.3, 0.3, 0.3]}),
            0.2,
        ),
        (
            json!({"input_size": [1, 32, 32], "mean": [0.2], "std": [0.3]}),
            0.2,
        ),
    ] {
        let config = json!({"architecture": MODEL, "model_args": {"in_chans": 1},
            "pretrained_cfg": record, "num_classes": 10});
        let network = with_config(directory, &config).unwrap();
        assert_eq!(network.preprocessing().channels(), 1);
        assert!((network.preprocessing().mean[0] - mean).abs() < 1e-12);
    }
}

#[test]
fn a_directory_of_another_library_is_named() {
    for (files, expected) in [
        (
            &["saved_model.pb"][..],
            "no weight file, but `saved_model.pb`, of TensorFlow",
        ),
        (
            &["config.json", "tf_model.h5"],
            "no weight file, but `tf_model.h5`, of Keras",
        ),
        (&["flax_model.msgpack"], "of Flax"),
        (&["model.onnx"], "in ONNX"),
        (&["model.pth.gz"], "`model.pth.gz`, which is to be unpacked"),
        (
            &["readme.txt"],
            "no weight file, expected model.safetensors, or exactly one",
        ),
        (
            &["a.safetensors", "b.ckpt"],
            "2 weight files, as a.safetensors and b.ckpt",
        ),
        (
            &[
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ],
            "weights in several files, model-00001-of-00002.safetensors and others: join them",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(
                directory.path().join(file),
                "{\"architecture\": \"resnet8_cifar10\"}",
            )
            .unwrap();
        }
        let message = Network::load(directory.path(), &options())
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
    }
    let directory = tempfile::tempdir().unwrap();
    network(1).save(directory.path()).unwrap();
    for (text, expected) in [
        (
            "version https://git-lfs.github.com/spec/v1\n",
            "config.json: this is a Git LFS pointer",
        ),
        ("<!DOCTYPE html>", "config.json: this is a web page"),
        ("{", "config.json: no JSON"),
    ] {
        std::fs::write(directory.path().join("config.json"), text).unwrap();
        let message = Network::load(directory.path(), &options())
            .unwrap_err()
            .to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// transformers' name for a tensor of a ResNet with basic blocks.
fn name_in_transformers(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let unit = |part: &str| {
        let (kind, number) = part.split_at(part.len() - 1);
        let kind = if kind == "conv" {
            "convolution"
        } else {
            "normalization"
        };
        (number.parse::<usize>().unwrap() - 1, kind)
    };
    match parts.as_slice() {
        ["fc", rest] => format!("classifier.1.{rest}"),
        [stem, rest] => format!("resnet.embedder.embedder.{}.{rest}", unit(stem).1),
        [layer, block, "downsample", part, rest] => {
            let kind = if *part == "0" {
                "convolution"
            } else {
                "normalization"
            };
            format!(
                "resnet.encoder.stages.{}.layers.{block}.shortcut.{kind}.{rest}",
                unit(layer).0
            )
        }
        [layer, block, part, rest] => {
            let (index, kind) = unit(part);
            format!(
                "resnet.encoder.stages.{}.layers.{block}.layer.{index}.{kind}.{rest}",
                unit(layer).0
            )
        }
        _ => panic!("{name}"),
    }
}

#[test]
fn a_resnet_of_transformers_is_read_from_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let config = ModelConfig {
        num_classes: Some(3),
        ..ModelConfig::default()
    };
    let network = Network::new("resnet18", &config, 1).unwrap();
    let tensors = network.store().tensors();
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| (name_in_transformers(&name), tensor));
    safetensors(&directory, &tensors.collect());
    let config = json!({
        "architectures": ["ResNetForImageClassification"], "model_type": "resnet",
            "layer_type": "basic", "depths": [2, 2, 2, 2],
        "hidden_sizes": [64, 128, 256, 512], "embedding_size": 64, "id2label": {"0": "ant",
            "1": "bee", "2": "wasp"},
    });
    let processor = json!({"feature_extractor_type": "ConvNextFeatureExtractor", "size": 160,
        "crop_pct": 0.8, "resample": 2, "image_mean": [0.5, 0.5, 0.5]});
    std::fs::write(
        directory.path().join("preprocessor_config.json"),
        processor.to_string(),
    )
    .unwrap();
    let loaded = with_config(directory.path(), &config).unwrap();
    assert_eq!(values(&loaded), values(&network));
    assert_eq!(loaded.label_names().unwrap(), ["ant", "bee", "wasp"]);
    assert_eq!(loaded.preprocessing().input_size, [3, 160, 160]);
    assert_eq!(loaded.preprocessing().resize_size(), [200, 200]);
    let message = Network::load(directory.path(), &options())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("says architecture `resnet18`, but model `resnet8_cifar10`"),
        "{message}"
    );
    std::fs::write(directory.path().join("preprocessor_config.json"), "{").unwrap();
    let message = with_config(directory.path(), &config).unwrap_err();
    assert!(
        message.contains("preprocessor_config.json: no JSON"),
        "{message}"
    );
}
