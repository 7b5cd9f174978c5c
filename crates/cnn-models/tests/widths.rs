//! Planned widths, as those of a pruned network: who follows them, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cnn_layers::{Context, FeatureMap, TensorKind};
use cnn_models::{Error, LoadOptions, ModelConfig, Network};

/// The convolutions whose width may be changed alone, and those that go together.
fn narrowed(model: &str) -> BTreeMap<String, usize> {
    let plan: &[(&str, usize)] = match model {
        "resnet18" => &[
            ("layer1.0.conv1", 40),
            ("layer3.1.conv1", 100),
            ("layer4.0.conv2", 200),
            ("layer4.0.downsample.0", 200),
            ("layer4.1.conv2", 200),
        ],
        "resnet50" => &[("layer2.0.conv1", 50), ("layer2.0.conv2", 60)],
        "test_resnet" => &[
            ("conv1.3", 12),
            ("conv1.6", 20),
            ("layer1.0.conv2", 20),
            ("layer3.0.conv3", 180),
            ("layer3.0.downsample.1", 180),
        ],
        "resnext50_32x4d" => &[("layer1.0.conv1", 96), ("layer2.0.conv2", 192)],
        "seresnet50" => &[
            ("layer1.0.se.fc1", 9),
            ("layer4.0.conv3", 2000),
            ("layer4.0.downsample.0", 2000),
            ("layer4.1.conv3", 2000),
            ("layer4.2.conv3", 2000),
        ],
        "regnety_002" => &[
            ("stem.conv", 30),
            ("s1.b1.conv3.conv", 20),
            ("s1.b1.downsample.conv", 20),
            ("s2.b1.conv1.conv", 49),
            ("s4.b3.conv2.conv", 322),
            ("s4.b3.se.fc1", 50),
        ],
        "repvgg_a0" => &[
            ("stem.conv_kxk.conv", 40),
            ("stem.conv_1x1.conv", 40),
            ("stages.3.0.conv_kxk.conv", 1000),
            ("stages.3.0.conv_1x1.conv", 1000),
        ],
        "resnet20_cifar10" => &[
            ("layer2.1.conv1", 20),
            ("layer3.0.conv2", 51),
            ("layer3.1.conv2", 51),
            ("layer3.2.conv2", 51),
        ],
        "mobilenetv1_100" => &[("conv_stem", 24), ("blocks.2.0.conv_pw", 200)],
        "mobilenetv2_035" => &[
            ("blocks.2.1.conv_pw", 40),
            ("blocks.1.0.conv_pwl", 6),
            ("blocks.1.1.conv_pwl", 6),
            ("conv_head", 900),
        ],
        "mobilenetv3_small_100" => &[
            ("conv_stem", 10),
            ("blocks.0.0.conv_pw", 12),
            ("blocks.2.1.conv_pw", 100),
            ("blocks.2.1.se.conv_reduce", 20),
            ("blocks.5.0.conv", 500),
            ("conv_head", 800),
        ],
        "mobilenetv4_conv_small" => &[
            ("blocks.0.0.conv", 30),
            ("blocks.2.1.pw_exp.conv", 100),
            ("blocks.2.5.pw_exp.conv", 300),
            ("conv_head", 1000),
        ],
        "test_efficientnet" => &[
            ("blocks.1.0.conv_exp", 50),
            ("blocks.1.0.conv_pwl", 20),
            ("blocks.3.0.conv_pw", 90),
            ("blocks.3.0.se.conv_reduce", 5),
            ("conv_head", 200),
        ],
        "squeezenet1_1" => &[
            ("features.0", 60),
            ("features.3.squeeze", 9),
            ("features.4.expand3x3", 30),
        ],
        "test_convnext" => &[
            ("stem.0", 20),
            ("stages.0.blocks.0.mlp.fc2", 20),
            ("stages.2.blocks.1.mlp.fc1", 100),
        ],
        "ghostnet_050" => &[
            ("blocks.1.0.ghost1.primary_conv.0", 10),
            ("blocks.3.0.ghost2.primary_conv.0", 8),
            ("blocks.3.0.shortcut.2", 16),
            ("blocks.4.0.ghost2.primary_conv.0", 8),
            ("conv_head", 1000),
        ],
        "lenet5" => &[("conv1", 5), ("conv2", 11), ("fc1", 100), ("fc2", 70)],
        "alexnet" => &[
            ("features.3", 100),
            ("classifier.1", 64),
            ("classifier.4", 50),
        ],
        "vgg11_bn" => &[
            ("features.0", 40),
            ("pre_logits.fc1", 64),
            ("pre_logits.fc2", 100),
        ],
        "googlenet" => &[
            ("conv1.conv", 48),
            ("inception3a.branch2.0.conv", 50),
            ("inception4a.branch1.conv", 100),
            ("aux1.conv.conv", 90),
            ("aux2.fc1", 500),
        ],
        "inception_v3" => &[
            ("Mixed_5b.branch5x5_1.conv", 30),
            ("Mixed_6e.branch_pool.conv", 100),
            ("AuxLogits.conv0.conv", 100),
            ("Mixed_7c.branch3x3dbl_3a.conv", 300),
        ],
        other => panic!("{other}"),
    };
    plan.iter()
        .map(|(layer, width)| (layer.to_string(), *width))
        .collect()
}

#[test]
fn widths_follow_a_plan_and_come_back_from_a_file() {
    for model in [
        "resnet18",
        "resnet50",
        "test_resnet",
        "resnext50_32x4d",
        "seresnet50",
        "regnety_002",
        "repvgg_a0",
        "resnet20_cifar10",
        "mobilenetv1_100",
        "mobilenetv2_035",
        "mobilenetv3_small_100",
        "mobilenetv4_conv_small",
        "test_efficientnet",
        "squeezenet1_1",
        "test_convnext",
        "ghostnet_050",
        "lenet5",
        "alexnet",
        "vgg11_bn",
        "googlenet",
        "inception_v3",
    ] {
        let config = ModelConfig {
            widths: narrowed(model),
            ..ModelConfig::default()
        };
        let network = Network::new(model, &config, 0).unwrap();
        for (layer, width) in &config.widths {
            let weight = network.store().get(&format!("{layer}.weight")).unwrap();
            assert_eq!(weight.dims()[0], *width, "{model} {layer}");
        }
        let of_body = |network: &Network| -> usize {
            let auxiliary = network.spec().auxiliary;
            let is_of_head = |name: &str| auxiliary.iter().any(|head| name.starts_with(head));
            let entries = network.store().entries().into_iter();
            let body = entries
                .filter(|entry| entry.kind == TensorKind::Parameter && !is_of_head(&entry.name));
            body.map(|entry| entry.shape.iter().product::<usize>())
                .sum()
        };
        assert!(of_body(&network) < network.spec().parameters, "{model}");
        let [channels, height, width] = network.preprocessing().input_size;
        let shape = (1, channels, height, width);
        let zeros = Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let images = FeatureMap::from_nchw(&zeros).unwrap();
        let scores = |network: &Network| -> Vec<Vec<f32>> {
            let logits = network.model().forward(&images, &Context::eval());
            logits.unwrap().to_vec2().unwrap()
        };
        let stages = network
            .model()
            .forward_stages(&images, &Context::eval())
            .unwrap();
        for (map, info) in stages.iter().zip(network.model().stages()) {
            assert_eq!(map.channels(), info.channels, "{model} {}", info.module);
        }

        let directory = tempfile::tempdir().unwrap();
        network.save(directory.path()).unwrap();
        let again = Network::load(directory.path(), &LoadOptions::default()).unwrap();
        assert_eq!(again.config().model.widths, config.widths, "{model}");
        assert!(scores(&again) == scores(&network), "{model}");
    }
}

#[test]
fn a_plan_that_cannot_be_followed_is_refused() {
    let build = |model: &str, layer: &str| {
        let config = ModelConfig {
            widths: BTreeMap::from([(layer.to_string(), 7)]),
            ..ModelConfig::default()
        };
        Network::new(model, &config, 0).unwrap_err()
    };
    let error = build("resnet18", "layer9.0.conv1");
    assert!(matches!(error, Error::UnknownWidth { .. }), "{error}");
    for (model, layer) in [
        ("resnet18", "layer2.1.conv2"),
        ("resnet50", "layer2.0.downsample.0"),
        ("resnet20_cifar10", "layer1.1.conv2"),
        ("resnet20_cifar10", "layer2.0.conv2"),
        ("mobilenetv2_100", "blocks.2.1.conv_pwl"),
        ("regnety_002", "s3.b2.conv3.conv"),
        ("resnet18d", "layer2.0.downsample.1"),
        ("repvgg_a0", "stages.1.1.conv_kxk.conv"),
        ("repvgg_a0", "stages.1.0.conv_1x1.conv"),
        ("convnext_atto", "stages.1.blocks.0.mlp.fc2"),
        ("ghostnet_100", "blocks.4.0.ghost2.primary_conv.0"),
        ("mobilenetv4_conv_small", "blocks.2.1.pw_proj.conv"),
        ("tf_efficientnetv2_b2", "blocks.0.1.conv"),
    ] {
        let error = build(model, layer);
        let message = error.to_string();
        assert!(message.contains("shortcut"), "{model} {layer}: {message}");
    }
}
