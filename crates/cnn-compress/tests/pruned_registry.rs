//! A random third of the units of every group of every registered network: removing and zeroing
//! give the same, and what is left is a network like any other.
//!
//! The networks are narrow: each group has a quarter of its units, so these have been pruned before.
//! `PRUNE_WHOLE=1` takes the whole ones, which have the same layers and take half an hour, and
//! `PRUNE_MODELS=vgg` those alone in whose name that occurs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Tensor};
use cnn_compress::{Groups, Selection, without};
use cnn_core::Key;
use cnn_graph::Graph;
use cnn_layers::{
    BatchNormPolicy, Classifier, Context, DetectionTargets, Detector, FeatureMap, ImageObjects,
    LayerKind, Mode, Segmenter, Store,
};
use cnn_models::{
    DetectionNetwork, Kind, LoadOptions, Model, ModelConfig, ModelKind, ModelSpec, Network,
    NetworkOf, SegmentationNetwork, models_of,
};

use common::{apart, ends, images, stir, without_a_third, zeroed};

const LIMIT: f64 = 1e-10;

/// A network in f64, and what a random selection leaves of it.
struct Case<M: ModelKind + ?Sized> {
    network: NetworkOf<M>,
    groups: Groups,
    selection: Selection,
    smaller: NetworkOf<M>,
    images: FeatureMap,
}

impl<M: ModelKind + ?Sized> Case<M> {
    fn new(spec: &ModelSpec, config: &ModelConfig, size: [usize; 2]) -> Result<Self, String> {
        let config = match std::env::var_os("PRUNE_WHOLE") {
            None => &narrow(spec, config, size)?,
            Some(_) => config,
        };
        let network = NetworkOf::<M>::with_dtype(*spec, config, 0, DType::F64)
            .map_err(|error| error.to_string())?;
        stir(network.store());
        let groups = Groups::at_size(&network, size).map_err(|error| error.to_string())?;
        let selection = without_a_third(&groups, 3);
        let smaller = without(&network, &groups, &selection).map_err(|error| error.to_string())?;
        // What is said of some groups does not change the others.
        let mut some = Selection::all(&groups);
        for group in groups.groups().iter().step_by(2) {
            let gone = group.numbers().filter(|&unit| !selection.stays(unit));
            gone.for_each(|unit| some.remove(unit));
        }
        without(&network, &groups, &some)
            .map_err(|error| format!("every second group: {error}"))?;
        let channels = network.preprocessing().channels();
        Ok(Self {
            network,
            groups,
            selection,
            smaller,
            images: images([2, channels, size[0], size[1]]),
        })
    }

    /// Something of it can go, and what is left has the size that was foretold.
    fn check_size(&self, smaller: &Graph) -> Result<(), String> {
        let left = self.groups.size(&self.selection);
        let whole = self.groups.size(&Selection::all(&self.groups));
        let share = left.channels as f64 / whole.channels as f64;
        if !(0.4..0.95).contains(&share) {
            return Err(format!("{share} of the channels are left"));
        }
        let counted = (
            smaller.parameter_count().unwrap(),
            smaller.multiply_adds().unwrap(),
        );
        let foretold = (left.parameters, left.multiply_adds);
        if counted != foretold {
            return Err(format!("{foretold:?} were foretold, {counted:?} are left"));
        }
        Ok(())
    }

    /// Saved and loaded, it has the same tensors.
    fn check_file(&self) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        self.smaller.save(directory.path()).unwrap();
        let options = LoadOptions {
            dtype: Some(DType::F64),
            ..LoadOptions::of(*self.smaller.spec())
        };
        let loaded = NetworkOf::<M>::load(directory.path(), &options);
        let loaded = loaded.map_err(|error| error.to_string())?;
        let names = |store: &Store| store.names();
        if names(loaded.store()) != names(self.smaller.store()) {
            return Err("the file has other tensors".to_string());
        }
        for (name, tensor) in self.smaller.store().tensors() {
            let read = loaded.store().get(&name).unwrap();
            let same = (read.to_dtype(DType::F64).unwrap() - tensor.to_dtype(DType::F64).unwrap())
                .unwrap()
                .abs()
                .unwrap()
                .sum_all()
                .unwrap();
            if same.to_scalar::<f64>().unwrap() != 0. {
                return Err(format!("{name} differs in the file"));
            }
        }
        Ok(())
    }

    /// Every parameter of the smaller network moves by a step against its gradient.
    fn check_step(&self, loss: &Tensor) -> Result<(), String> {
        let mut gradients = cnn_kernels::backward(loss).unwrap();
        for (name, var) in self.smaller.store().trainable() {
            let Some(gradient) = gradients.remove(&var) else {
                return Err(format!("{name} has no gradient"));
            };
            var.set(&(var.as_tensor() - (gradient * 1e-3).unwrap()).unwrap())
                .unwrap();
        }
        Ok(())
    }
}

/// The configuration with a quarter of each group's units, but at least six.
fn narrow(spec: &ModelSpec, config: &ModelConfig, size: [usize; 2]) -> Result<ModelConfig, String> {
    let channels = config.in_channels.unwrap_or(spec.in_channels);
    let shape = (1, channels, size[0], size[1]);
    let images = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let images = FeatureMap::from_nchw(&images).unwrap();
    let model = spec
        .build_any(config, &Store::blank().builder(Mode::Eval))
        .unwrap();
    let graph = match model {
        Model::Classifier(model) => Graph::watch(&images, |xs, cx| {
            let outputs = model.forward_outputs(xs, cx)?;
            let of_heads = outputs.auxiliary.into_iter();
            let of_heads = of_heads.map(|head| (head.head, head.output));
            Ok(of_heads
                .chain([("main".to_string(), outputs.main)])
                .collect::<Vec<_>>())
        }),
        Model::Segmenter(model) => Graph::watch(&images, |xs, cx| {
            let outputs = model.forward_outputs(xs, cx)?;
            let of_heads = outputs.auxiliary.into_iter();
            let of_heads = of_heads.map(|head| (head.head, head.output));
            Ok(of_heads
                .chain([("main".to_string(), outputs.main)])
                .collect::<Vec<_>>())
        }),
        Model::Detector(model) => Graph::of_detector(model.as_ref(), &images),
        _ => return Err("a kind of model that this test does not know".to_string()),
    };
    let groups = Groups::of_graph(graph.map_err(|error| error.to_string())?).unwrap();
    let mut selection = Selection::all(&groups);
    for group in groups.groups() {
        let stay = group.units.len().div_ceil(4).max(6);
        group
            .numbers()
            .skip(stay)
            .for_each(|unit| selection.remove(unit));
    }
    let mut config = config.clone();
    config.widths.extend(groups.widths(&selection));
    Ok(config)
}

fn squares(maps: &Tensor) -> Tensor {
    maps.sqr().unwrap().mean_all().unwrap()
}

fn training() -> Context<'static> {
    Context::train(Key::new(0)).with_batch_norm(BatchNormPolicy::BatchOnly)
}

fn compared(found: &Tensor, expected: &Tensor) -> Result<(), String> {
    let difference = apart(found, expected);
    if difference < LIMIT {
        Ok(())
    } else {
        Err(format!("outputs differ by {difference}"))
    }
}

/// Sides that differ, and are odd where the model allows it.
fn input_size(spec: &ModelSpec) -> [usize; 2] {
    match spec.family {
        "lenet" => [21, 18],
        "resnet_cifar" => [23, 17],
        "alexnet" => [67, 65],
        "inception_v3" | "inception_v4" => [97, 79],
        _ => [37, 33],
    }
}

fn check_classifier(spec: &ModelSpec) -> Result<(), String> {
    let size = input_size(spec);
    let config = ModelConfig {
        num_classes: Some(7),
        input_size: Some(size),
        ..spec.reduced_config()
    };
    let case = Case::<dyn Classifier>::new(spec, &config, size)?;
    let outputs = |network: &Network| {
        let outputs = network
            .model()
            .forward_outputs(&case.images, &Context::eval());
        let outputs = outputs.unwrap();
        let of_heads = outputs.auxiliary.into_iter().map(|head| head.output);
        std::iter::once(outputs.main)
            .chain(of_heads)
            .collect::<Vec<_>>()
    };
    let found = outputs(&case.smaller);
    let zeroed = zeroed(&case.network, &case.groups, &case.selection);
    let expected = if measures_channels(case.groups.graph()) {
        ends(&case.groups, &case.selection, zeroed.store(), &case.images)
    } else {
        outputs(&zeroed)
    };
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        compared(found, expected)?;
    }
    let smaller = Graph::of_classifier(case.smaller.model(), &case.images).unwrap();
    case.check_size(&smaller)?;
    let model = case.smaller.build(Mode::Train).unwrap();
    let outputs = model.forward_outputs(&case.images, &training()).unwrap();
    let mut loss = squares(&outputs.main);
    for head in outputs.auxiliary {
        loss = (loss + squares(&head.output)).unwrap();
    }
    case.check_step(&loss)?;
    case.check_file()
}

fn report(kind: Kind, check: impl Fn(&ModelSpec) -> Result<(), String>) {
    let only = std::env::var("PRUNE_MODELS").ok();
    let is_wanted = |spec: &&&ModelSpec| {
        only.as_ref()
            .is_none_or(|only| spec.name.contains(only.as_str()))
    };
    let mut failed = Vec::new();
    let mut checked = 0;
    for spec in models_of(kind).filter(|spec| is_wanted(&spec)) {
        let start = std::time::Instant::now();
        let result = check(spec);
        eprintln!("{} {:?} {result:?}", spec.name, start.elapsed());
        if let Err(what) = result {
            failed.push(format!("{}: {what}", spec.name));
        }
        checked += 1;
    }
    assert!(checked > 0 || only.is_some());
    assert!(failed.is_empty(), "{failed:#?}");
}

fn check_segmenter(spec: &ModelSpec) -> Result<(), String> {
    let size = [65, 70];
    let config = ModelConfig {
        num_classes: Some(5),
        ..spec.reduced_config()
    };
    let case = Case::<dyn Segmenter>::new(spec, &config, size)?;
    let logits = |network: &SegmentationNetwork| {
        let maps = network.model().forward(&case.images, &Context::eval());
        maps.unwrap().to_nhwc()
    };
    let zeroed = zeroed(&case.network, &case.groups, &case.selection);
    compared(&logits(&case.smaller), &logits(&zeroed))?;
    let smaller = Graph::of_segmenter(case.smaller.model(), &case.images).unwrap();
    case.check_size(&smaller)?;
    let model = case.smaller.build(Mode::Train).unwrap();
    let outputs = model.forward_outputs(&case.images, &training()).unwrap();
    let mut loss = squares(&outputs.main.to_nhwc());
    for head in outputs.auxiliary {
        loss = (loss + squares(&head.output.to_nhwc())).unwrap();
    }
    case.check_step(&loss)?;
    case.check_file()
}

fn check_detector(spec: &ModelSpec) -> Result<(), String> {
    let size = match spec.family {
        "ssd" => [268, 332],
        _ => [64, 96],
    };
    let config = ModelConfig {
        num_classes: Some(4),
        ..spec.reduced_config()
    };
    let case = Case::<dyn Detector>::new(spec, &config, size)?;
    let smaller = Graph::of_detector(case.smaller.model(), &case.images).unwrap();
    let zeroed = zeroed(&case.network, &case.groups, &case.selection);
    if measures_channels(case.groups.graph()) {
        let expected = ends(&case.groups, &case.selection, zeroed.store(), &case.images);
        let left = Groups::of_graph(smaller.clone()).unwrap();
        let all = Selection::all(&left);
        let found = ends(&left, &all, case.smaller.store(), &case.images);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            compared(found, expected)?;
        }
    } else {
        let raw = |network: &DetectionNetwork| {
            let outputs = network.model().forward_raw(&case.images, &Context::eval());
            outputs.unwrap()
        };
        for (found, expected) in raw(&case.smaller).iter().zip(&raw(&zeroed)) {
            compared(&found.values, &expected.values)?;
        }
    }
    case.check_size(&smaller)?;
    let model = case.smaller.build(Mode::Train).unwrap();
    let of_image = ImageObjects {
        boxes: vec![[10., 12., 44., 50.], [20., 14., 52., 58.]],
        classes: vec![3, 1],
    };
    let targets = DetectionTargets {
        images: vec![of_image; 2],
        is_late: true,
    };
    let losses = model.losses(&case.images, &targets, &training()).unwrap();
    let losses: Vec<Tensor> = losses.into_iter().map(|loss| loss.value).collect();
    let loss = Tensor::stack(&losses, 0).unwrap().sum_all().unwrap();
    case.check_step(&loss)?;
    case.check_file()
}

/// Whether it has norms over channels, of which those that go are no part.
fn measures_channels(graph: &Graph) -> bool {
    graph.nodes().iter().any(|node| {
        matches!(
            node.kind,
            LayerKind::LayerNorm { .. } | LayerKind::GroupNorm { .. }
        )
    })
}

#[test]
fn segmenters_without_a_third_of_their_units() {
    report(Kind::Segmentation, check_segmenter);
}

#[test]
fn detectors_without_a_third_of_their_units() {
    report(Kind::Detection, check_detector);
}

#[test]
fn classifiers_without_a_third_of_their_units() {
    report(Kind::Classification, check_classifier);
}
