//! The contract of models: networks of one's own beside registered ones, backbones under a prefix,
//! auxiliary heads, and configurations that refuse what a family does not use.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Result, Tensor};
use cnn_core::Key;
use cnn_layers::{
    Activation, BatchNorm2dConfig, Builder, Context, Conv2d, Conv2dConfig, ConvNormActConfig,
    Decoder, DecoderModules, EncoderDecoder, FeatureMap, Interpolation, Layer, LinearHead, Mode,
    Outputs, ResizeLike, Segmenter, StagedBuilder, StagedClassifier, Store,
};
use cnn_models::{Build, Error, LoadOptions, ModelConfig, ModelSpec, Network, find, preset};

use common::{smallest_of_each_family, tested_size};

fn noise(batch: usize, height: usize, width: usize) -> FeatureMap {
    let mut values = vec![0f32; batch * height * width * 3];
    Key::new(7).rng().fill_uniform(&mut values, -1., 1.);
    let shape = (batch, height, width, 3);
    FeatureMap::from_nhwc(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

fn values(maps: &FeatureMap) -> Vec<f32> {
    let flat = maps.to_nhwc().flatten_all().unwrap();
    flat.to_vec1().unwrap()
}

/// Class scores of every pixel from the deepest map of a backbone that lies under `backbone`.
struct Fcn {
    score: Conv2d,
    upsample: ResizeLike,
}

impl Fcn {
    fn build(model: &str, stages: &[usize], classes: usize, root: &Builder) -> EncoderDecoder {
        let backbone = find(model)
            .unwrap()
            .build_backbone(&ModelConfig::default(), &root.pp("backbone"), Some(stages))
            .unwrap();
        let last = backbone.stages().last().unwrap();
        let score = Conv2dConfig::new(last.channels, classes, 1).build(&root.pp("score"));
        let decoder = Self {
            score: score.unwrap(),
            upsample: ResizeLike::new(Interpolation::Nearest, &root.pp("upsample")),
        };
        let modules = DecoderModules {
            decoder: Vec::new(),
            head: vec![root.pp("score").path().to_string()],
        };
        EncoderDecoder::new(backbone, decoder, modules, classes)
    }
}

impl Decoder for Fcn {
    fn forward(
        &self,
        image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let scores = self.score.forward(&maps[maps.len() - 1], cx)?;
        self.upsample.forward(&scores, image, cx)
    }
}

#[test]
fn a_backbone_under_a_prefix_has_its_stages_and_groups_there() {
    for spec in smallest_of_each_family()
        .into_iter()
        .filter(|spec| spec.in_channels == 3)
    {
        let alone = Store::new(3);
        let config = spec.reduced_config();
        let whole = spec
            .build_classifier(&config, &alone.builder(Mode::Eval))
            .unwrap();
        let last = whole.stages().len() - 2;
        let store = Store::new(3);
        let root = store.builder(Mode::Eval);
        let under = spec
            .build_backbone(&config, &root.pp("a.b"), Some(&[0, last]))
            .unwrap();

        // Stages: the chosen ones, under the prefix.
        for (ours, theirs) in under.stages().iter().zip([0, last]) {
            let theirs = &whole.stages()[theirs];
            assert_eq!(
                ours.module,
                format!("a.b.{}", theirs.module),
                "{}",
                spec.name
            );
            assert_eq!(
                (ours.channels, ours.reduction),
                (theirs.channels, theirs.reduction)
            );
        }
        // Groups: each tensor is in exactly one, and none of what is left out is in the store.
        let kept = under.layer_groups();
        for name in store.names() {
            let groups = kept.iter().filter(|group| group.contains(&name)).count();
            assert_eq!(groups, 1, "{}: {name}", spec.name);
        }
        let groups = whole.layer_groups();
        assert!(kept.len() < groups.len(), "{}", spec.name);
        let kept_names: usize = alone
            .names()
            .iter()
            .filter(|name| {
                groups[..kept.len()]
                    .iter()
                    .any(|group| group.contains(name))
            })
            .count();
        assert_eq!(store.names().len(), kept_names, "{}", spec.name);

        // The maps are those of the whole network.
        for name in store.names() {
            let value = alone.get(name.strip_prefix("a.b.").unwrap()).unwrap();
            store.set(&name, &value).unwrap();
        }
        let [height, width] = tested_size(spec);
        let images = noise(1, height, width / 2 + 17);
        let cx = Context::eval();
        let theirs = whole.forward_stages(&images, &cx).unwrap();
        let ours = under.forward_stages(&images, &cx).unwrap();
        assert_eq!(ours.len(), 2);
        assert!(values(&ours[0]) == values(&theirs[0]), "{}", spec.name);
        assert!(values(&ours[1]) == values(&theirs[last]), "{}", spec.name);
        let on = under.forward_from(0, &ours[0], &cx).unwrap();
        assert!(values(&on) == values(&theirs[last]), "{}", spec.name);
    }
}

#[test]
fn a_dense_head_on_a_backbone_freezes_and_has_its_groups() {
    let store = Store::new(0);
    let frozen = |name: &str| name.starts_with("backbone.");
    Fcn::build("resnet18", &[1, 2], 5, &store.builder(Mode::Train));
    assert!(store.set_trainable(false, frozen) > 0);
    let network = Fcn::build("resnet18", &[1, 2], 5, &store.builder(Mode::Train));
    let names: Vec<&str> = network
        .layer_groups()
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    assert_eq!(names, ["stem", "stage1", "stage2", "head"]);
    let before = store.tensors();

    let cx = Context::train(Key::new(1));
    let logits = network.forward(&noise(2, 48, 33), &cx).unwrap();
    assert_eq!(logits.dims(), [2, 48, 33, 5]);
    let grads = logits
        .to_nhwc()
        .sqr()
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    let trainable = store.trainable();
    let trained: Vec<&str> = trainable.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(trained, ["score.weight", "score.bias"]);
    assert!(trainable.iter().all(|(_, var)| grads.get(var).is_some()));
    // A frozen batch norm keeps its statistics in training.
    for (name, tensor) in before {
        let now = store.get(&name).unwrap().to_dtype(DType::F64).unwrap();
        let was = tensor.to_dtype(DType::F64).unwrap();
        let moved = (now - was).unwrap().abs().unwrap().sum_all().unwrap();
        assert_eq!(moved.to_scalar::<f64>().unwrap(), 0., "{name}");
    }
}

#[test]
fn what_backbones_are_not_made_of_is_refused() {
    let root = Store::new(0);
    let root = root.builder(Mode::Eval);
    let build = |stages: &[usize]| {
        let spec = find("resnet8_cifar10").unwrap();
        let built = spec.build_backbone(&ModelConfig::default(), &root.pp("x"), Some(stages));
        built
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(
        build(&[4]),
        "stage 4 does not exist, the model has stages 0 to 3"
    );
    let order = "stages are chosen in ascending order and at least one, from 0 to 3";
    for stages in [&[][..], &[2, 1], &[1, 1]] {
        let fresh = Store::new(0);
        let spec = find("resnet8_cifar10").unwrap();
        let error = spec
            .build_backbone(
                &ModelConfig::default(),
                &fresh.builder(Mode::Eval),
                Some(stages),
            )
            .err()
            .unwrap();
        assert_eq!(error.to_string(), order);
    }
}

const WITH_AUXILIARY: ModelSpec = ModelSpec {
    name: "with_auxiliary",
    build: Build::Staged(with_auxiliary),
    preset: preset::cifar10,
    num_classes: 4,
    first_conv: "layer1.0",
    classifier: "fc",
    ..ModelSpec::OWN
};

/// Two stages, with an auxiliary head within the second and one right after the first.
fn with_auxiliary(
    config: &ModelConfig,
    root: &Builder,
) -> std::result::Result<StagedClassifier, Error> {
    let classes = config.num_classes.unwrap_or(WITH_AUXILIARY.num_classes);
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(3));
    for (name, width) in [("layer1", 8), ("layer2", 12)] {
        let at = net.at(name);
        net.group(name, &[name]);
        let unit = |from: usize, stride: usize| {
            let conv = Conv2dConfig::new(from, width, 3).with_stride(stride);
            ConvNormActConfig::new(conv, BatchNorm2dConfig::new(width), Activation::Relu)
        };
        let first = unit(net.channels(), 2).build(&at.pp(0), &at.pp(1))?;
        net.add(first).set_channels(width).add_stride(2);
        if name == "layer2" {
            let head = LinearHead::build(root, "aux2", net.channels(), classes, 0.)?;
            net.auxiliary("aux2", 0.3, head);
        }
        let second = unit(width, 1).build(&at.pp(2), &at.pp(3))?;
        net.add(second);
        net.end_stage(name);
        if name == "layer1" {
            let head = LinearHead::build(root, "aux1", net.channels(), classes, 0.)?;
            net.auxiliary("aux1", 0.3, head);
        }
    }
    Ok(net.linear_classifier("fc", classes, 0.)?)
}

#[test]
fn auxiliary_heads_read_where_they_were_put() {
    let network = Network::of(WITH_AUXILIARY, &ModelConfig::default(), 0).unwrap();
    let model = network.model();
    let images = noise(2, 32, 27);
    let cx = Context::eval();
    let Outputs {
        main, auxiliary, ..
    } = model.forward_outputs(&images, &cx).unwrap();
    let main: Vec<Vec<f32>> = main.to_vec2().unwrap();
    let alone: Vec<Vec<f32>> = model.forward(&images, &cx).unwrap().to_vec2().unwrap();
    assert_eq!(main, alone);
    let names: Vec<&str> = auxiliary.iter().map(|head| head.head.as_str()).collect();
    assert_eq!(names, ["aux1", "aux2"]);

    // The first reads the first stage: mean over its pixels, times its weight.
    let stage = model.forward_to(0, &images, &cx).unwrap();
    let mean = stage.to_nchw().unwrap().mean((2, 3)).unwrap();
    let weight = network.store().get("aux1.weight").unwrap();
    let bias = network.store().get("aux1.bias").unwrap();
    let expected = mean
        .matmul(&weight.t().unwrap())
        .unwrap()
        .broadcast_add(&bias)
        .unwrap();
    let expected: Vec<Vec<f32>> = expected.to_vec2().unwrap();
    let found: Vec<Vec<f32>> = auxiliary[0].output.to_vec2().unwrap();
    for (found, expected) in found.concat().iter().zip(expected.concat()) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    // They belong to the head, which a new number of classes replaces.
    let head = model.layer_groups().last().unwrap();
    assert!(
        ["fc.weight", "aux1.bias", "aux2.weight"]
            .iter()
            .all(|name| head.contains(name))
    );
    let directory = tempfile::tempdir().unwrap();
    network.save(directory.path()).unwrap();
    let options = LoadOptions {
        spec: Some(WITH_AUXILIARY),
        num_classes: Some(7),
        ..LoadOptions::default()
    };
    let other = Network::load(directory.path(), &options).unwrap();
    assert_eq!(other.store().get("aux2.weight").unwrap().dims(), [7, 12]);
    let first = "layer1.0.weight";
    let of = |network: &Network| network.store().get(first).unwrap().flatten_all().unwrap();
    assert_eq!(
        of(&other).to_vec1::<f32>().unwrap(),
        of(&network).to_vec1::<f32>().unwrap()
    );
}

#[test]
fn layers_behind_the_pooling_stay_with_other_classes_and_are_no_part_of_a_backbone() {
    for (model, tail) in [
        ("mobilenetv3_small_050", "conv_head.bias"),
        ("mobilenetv4_conv_small", "norm_head.weight"),
    ] {
        let network = Network::new(model, &ModelConfig::default(), 0).unwrap();
        let groups = network.model().layer_groups();
        let [before, head] = &groups[groups.len() - 2..] else {
            panic!("{model}: {groups:?}");
        };
        assert!(before.contains(tail), "{model}: {before:?}");
        assert_eq!((before.name.as_str(), head.name.as_str()), ("tail", "head"));
        let moved = Tensor::arange(0f32, 1e4, &Device::Cpu).unwrap();
        let old = network.store().get(tail).unwrap();
        let moved = moved.narrow(0, 0, old.elem_count()).unwrap();
        network.store().set(tail, &moved).unwrap();
        let directory = tempfile::tempdir().unwrap();
        network.save(directory.path()).unwrap();
        let options = LoadOptions {
            num_classes: Some(7),
            ..LoadOptions::default()
        };
        let other = Network::load(directory.path(), &options).unwrap();
        assert_eq!(other.model().num_classes(), 7);
        let kept: Vec<f32> = other.store().get(tail).unwrap().to_vec1().unwrap();
        assert_eq!(kept, moved.to_vec1::<f32>().unwrap(), "{model}");

        let store = Store::new(0);
        let root = store.builder(Mode::Eval);
        let spec = find(model).unwrap();
        spec.build_backbone(&ModelConfig::default(), &root, None)
            .unwrap();
        assert!(!store.names().iter().any(|name| name == tail), "{model}");
    }
}

#[test]
fn a_network_of_ones_own_is_named_and_not_taken_for_another() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::of(WITH_AUXILIARY, &ModelConfig::default(), 0).unwrap();
    network.save(directory.path()).unwrap();
    // Nobody knows it by its name alone.
    let error = Network::load(directory.path(), &LoadOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::UnknownModel { name, .. } if name == "with_auxiliary"));
    let options = LoadOptions {
        spec: Some(*find("resnet18").unwrap()),
        ..LoadOptions::default()
    };
    let error = Network::load(directory.path(), &options).unwrap_err();
    assert!(matches!(error, Error::Contradiction { .. }), "{error}");
    // What leaves something out says so.
    let unnamed = ModelSpec {
        name: "",
        ..WITH_AUXILIARY
    };
    let error = Network::of(unnamed, &ModelConfig::default(), 0).unwrap_err();
    assert!(matches!(error, Error::NotSaid { .. }), "{error}");
    let error = Network::of(ModelSpec::OWN, &ModelConfig::default(), 0).unwrap_err();
    assert!(matches!(error, Error::NotSaid { .. }), "{error}");
}

#[test]
fn a_family_refuses_what_it_does_not_use() {
    for (model, name, value, accepted) in [
        (
            "resnet18",
            "pad_type",
            "same".into(),
            "drop_rate, drop_path_rate",
        ),
        ("lenet5", "drop_path_rate", 0.1.into(), "drop_rate"),
        (
            "mobilenetv2_100",
            "drop_path",
            serde_json::json!(0.1),
            "did you mean `drop_path_rate`?",
        ),
    ] {
        let config = ModelConfig::default().with_arg(name, value);
        let error = Network::new(model, &config, 0).unwrap_err();
        assert!(matches!(error, Error::UnknownArgument { .. }), "{error}");
        assert!(error.to_string().contains(accepted), "{error}");
    }
    for (name, value, expected) in [
        (
            "bn_eps",
            serde_json::json!("x"),
            "bn_eps is \"x\", expected a number from 0 to 1",
        ),
        (
            "pad_type",
            3.into(),
            "pad_type is 3, expected \"same\" or \"\"",
        ),
        (
            "channel_multiplier",
            0.into(),
            "channel_multiplier is 0, expected a number from 0.01 to 4",
        ),
        (
            "drop_rate",
            (-0.1).into(),
            "drop_rate is -0.1, expected a number from 0 to 1",
        ),
    ] {
        let config = ModelConfig::default().with_arg(name, value);
        let error = Network::new("mobilenetv2_035", &config, 0).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn what_a_file_asks_for_and_the_family_refuses_is_told_with_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    network.save(directory.path()).unwrap();
    let path = directory.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (args, refused) in [
        (
            serde_json::json!({"pad_type": "same"}),
            "`pad_type` is not known",
        ),
        (
            serde_json::json!({"drop_rate": 2}),
            "drop_rate is 2, expected a number from 0 to 1",
        ),
        (
            serde_json::json!({"widths": {"layer9": 3}}),
            "a width is planned for `layer9`",
        ),
    ] {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        config["model_args"] = args;
        std::fs::write(&path, config.to_string()).unwrap();
        let error = Network::load(directory.path(), &LoadOptions::default()).unwrap_err();
        let Error::Config { path: said, what } = error else {
            panic!("{refused}: {error}");
        };
        assert_eq!(said, path);
        assert!(what.contains(refused), "{what}");
    }
}

/// A network whose branches were summed by another library is loaded as what it is, trained, saved
/// and loaded again.
#[test]
fn summed_branches_are_an_argument_of_the_model() {
    let config = ModelConfig {
        num_classes: Some(3),
        ..ModelConfig::default()
    };
    let summed = config.clone().with_arg("reparameterised", true);
    let network = Network::new("repvgg_a0", &summed, 0).unwrap();
    assert!(
        network
            .store()
            .names()
            .iter()
            .all(|name| name.contains("reparam_conv.") || name.starts_with("head.fc."))
    );
    let directory = tempfile::tempdir().unwrap();
    network.save(directory.path()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&network.config_json()).unwrap();
    assert_eq!(json["pretrained_cfg"]["first_conv"], "stem.reparam_conv");

    // The weights alone say it too, by their names.
    let grey = LoadOptions {
        in_channels: Some(1),
        ..LoadOptions::of(*find("repvgg_a0").unwrap())
    };
    let bare = tempfile::tempdir().unwrap();
    let weights = bare.path().join("model.safetensors");
    std::fs::copy(directory.path().join("model.safetensors"), &weights).unwrap();
    let first = "stem.reparam_conv.weight";
    for path in [directory.path(), bare.path()] {
        let loaded = Network::load(
            path,
            &LoadOptions {
                in_channels: None,
                ..grey.clone()
            },
        )
        .unwrap();
        assert_eq!(loaded.store().names(), network.store().names());
        let loaded = Network::load(path, &grey).unwrap();
        assert_eq!(loaded.store().get(first).unwrap().dims(), [48, 1, 3, 3]);
    }

    // Of a network with branches both that read the image are adapted, and told to timm.
    let network = Network::new("repvgg_a0", &config, 0).unwrap();
    network.save(directory.path()).unwrap();
    let loaded = Network::load(directory.path(), &grey).unwrap();
    for (branch, size) in [("conv_kxk", 3), ("conv_1x1", 1)] {
        let weight = loaded.store().get(&format!("stem.{branch}.conv.weight"));
        assert_eq!(weight.unwrap().dims(), [48, 1, size, size]);
    }
    let json: serde_json::Value = serde_json::from_str(&loaded.config_json()).unwrap();
    let both = serde_json::json!(["stem.conv_kxk.conv", "stem.conv_1x1.conv"]);
    assert_eq!(json["pretrained_cfg"]["first_conv"], both);

    let error = Network::new("repvgg_a0", &config.with_arg("reparameterised", "x"), 0).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("reparameterised is \"x\", expected true or false"),
        "{error}"
    );
}
