//! Training with interval bounds: the loss and its gradients, what the report says, and that it
//! teaches.

use std::sync::Arc;

use cnn_data::{Batch, BatchPlan, Mixing, Shapes, ShapesConfig, Split};
use cnn_robust::defence::CertifiedAccuracy;
use cnn_train::{
    Classification, GradientStep, Notice, Optimizer, OptimizerConfig, Progress, Rates, Step,
    StepReport, TrainConfig, Trainer, Update, decay_groups,
};

use super::*;

/// One update of the network of the golden file, without norms, in f64.
struct Scene {
    store: Store,
    task: Classification,
    optimizer: Optimizer,
    step: IntervalStep,
    progress: Progress,
}

impl Scene {
    fn new(eps: f64) -> Self {
        let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
        let build = |mode| Mixed::build(&store, mode, Norms::None);
        let network = build(Mode::Eval);
        set_by_formula(&store);
        let shapes = |split| {
            let config = ShapesConfig::default().with_samples(40).with_split(split);
            Arc::new(Shapes::new(config).unwrap())
        };
        let boxed = |mode| Ok::<Box<dyn Classifier>, Error>(Box::new(build(mode)));
        let [train, val] = [Split::Train, Split::Val].map(shapes);
        let task = Classification::new(train, val, record(), boxed).unwrap();
        let groups = decay_groups(store.trainable(), 0.);
        let plain = OptimizerConfig::Sgd {
            momentum: 0.,
            nesterov: false,
        };
        Self {
            optimizer: Optimizer::new(plain, groups).unwrap(),
            step: IntervalStep::new(eps, 1., &network, &store, &record()).unwrap(),
            // Three quarters of the growth: a sixth and 0.75 of the rest.
            progress: Progress {
                epoch: 1. / 6. + 0.75 * 5. / 6.,
                epochs: 1.,
            },
            task,
            store,
        }
    }

    fn update(&mut self, batch: &Batch, lr: f64) -> Result<StepReport, cnn_train::Error> {
        let mut update = Update {
            optimizer: &mut self.optimizer,
            rates: Rates { lr, momentum: None },
            progress: self.progress,
            key: Key::new(0),
            further: Vec::new(),
            average: None,
        };
        self.step
            .step(&self.task, std::slice::from_ref(batch), &mut update)
    }

    fn value(&mut self, batch: &Batch, name: &str) -> f64 {
        let report = self.update(batch, 0.).unwrap();
        report
            .values
            .iter()
            .find(|(found, _)| found == name)
            .unwrap()
            .1
    }

    fn loss(&mut self, batch: &Batch) -> f64 {
        self.value(batch, "loss")
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Five images in f64 with labels below the network's number of classes.
fn batch() -> Batch {
    let config = ShapesConfig::default().with_samples(5);
    let shapes = Arc::new(Shapes::new(config).unwrap());
    let plan = BatchPlan::new(shapes, record()).with_batch_size(5);
    let mut batch = plan.start().unwrap().next().unwrap().unwrap();
    batch.images = batch.images.to_dtype(DType::F64).unwrap();
    batch.labels = (0..5).map(|label| Some(label * 2 % 5)).collect();
    batch
}

#[test]
fn the_loss_is_that_of_the_bounds_and_its_gradients_those_of_differences() {
    let eps = 1e-3;
    let mut scene = Scene::new(eps);
    let batch = batch();
    // By hand from the bounds and the scores: 0.625 of the one, 0.375 of the other.
    let network = Mixed::build(&scene.store, Mode::Eval, Norms::None);
    let bounds = IntervalBounds::new(&network, &scene.store, &record()).unwrap();
    let normalization = cnn_robust::Normalization::new(&record()).unwrap();
    let images = normalization.images(&batch.images).unwrap();
    let labels: Vec<u32> = batch
        .labels
        .iter()
        .map(|label| label.unwrap() as u32)
        .collect();
    let leads = bounds.leads(&images, &labels, 0.75 * eps).unwrap();
    let scores = bounds.scores(&images, 0.).unwrap().lower;
    let loss = |row: &[f64], label: u32| {
        row.iter().map(|score| score.exp()).sum::<f64>().ln() - row[label as usize]
    };
    let mean = |rows: &cnn_robust::Logits| {
        let pairs = rows.rows().zip(&labels);
        pairs.map(|(row, label)| loss(row, *label)).sum::<f64>() / 5.
    };
    let expected = 0.625 * mean(&scores) + 0.375 * mean(&leads);
    let found = scene.loss(&batch);
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");

    let before: Vec<(String, Tensor)> = scene
        .store
        .trainable()
        .into_iter()
        .map(|(name, var)| (name, var.as_detached_tensor().copy().unwrap()))
        .collect();
    assert!(before.len() >= 11);
    scene.update(&batch, 1.).unwrap();
    let after: Vec<Vec<f64>> = before
        .iter()
        .map(|(name, _)| values(&scene.store.get(name).unwrap()))
        .collect();
    for (name, tensor) in &before {
        scene.store.set(name, tensor).unwrap();
    }
    for ((name, tensor), after) in before.iter().zip(&after) {
        let start = values(tensor);
        let count = start.len();
        for place in [0, count / 2, count - 1] {
            let gradient = start[place] - after[place];
            let mut at = |step: f64| {
                let mut moved = start.clone();
                moved[place] += step;
                let moved = Tensor::from_vec(moved, tensor.dims(), &Device::Cpu).unwrap();
                scene.store.set(name, &moved).unwrap();
                scene.loss(&batch)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            scene.store.set(name, tensor).unwrap();
            let what = format!("{name} {place}: {gradient} {difference}");
            assert!(
                (gradient - difference).abs() < 1e-6 * (1. + gradient.abs()),
                "{what}"
            );
        }
    }
}

#[test]
fn the_report_says_how_many_are_certified_and_mixed_images_are_refused() {
    let mut scene = Scene::new(1e-6);
    let mut batch = batch();
    let [top1, certified] = ["top1", "certified_top1"].map(|name| scene.value(&batch, name));
    assert_eq!(top1, certified);
    let mut scene = Scene::new(0.5);
    assert_eq!(scene.value(&batch, "certified_top1"), 0.);
    assert_eq!(scene.value(&batch, "top1"), top1);
    // Nothing but the images counts while the bounds have no weight.
    scene.progress.epoch = 0.1;
    let early = scene.loss(&batch);
    let mut point = Scene::new(0.);
    assert!((point.loss(&batch) - early).abs() < 1e-12);
    batch.mixing = Some(Mixing::none(5));
    refused(scene.update(&batch, 0.), &["mixed", "one class each"]);
    batch.mixing = None;
    batch.labels[1] = None;
    refused(scene.update(&batch, 0.), &["labels"]);
    batch.labels[1] = Some(7);
    refused(scene.update(&batch, 0.), &["7", "5"]);
}

#[test]
fn a_network_learns_to_be_certain() {
    let config = ModelConfig {
        in_channels: Some(3),
        num_classes: Some(10),
        input_size: Some([16, 16]),
        ..ModelConfig::default()
    };
    let record = Preprocessing {
        input_size: [3, 16, 16],
        crop_pct: 1.,
        mean: vec![0.; 3],
        std: vec![1.; 3],
        ..Preprocessing::default()
    };
    let shapes =
        |samples| Arc::new(Shapes::new(ShapesConfig::default().with_samples(samples)).unwrap());
    let eps = 1e-3;
    // Trained with bounds, and without.
    let [certain, usual] = [true, false].map(|with_bounds| {
        let network = Network::new("lenet5", &config, 0).unwrap();
        let store = network.store();
        let model: Arc<dyn Classifier> = Arc::from(network.build(Mode::Eval).unwrap());
        let metric = CertifiedAccuracy::new(model, store, &record, eps, 100).unwrap();
        // How far new images are certain too is not the question here.
        let [train, val] = [120, 40].map(shapes);
        let task = Classification::new(train, val, record.clone(), |mode| network.build(mode))
            .unwrap()
            .with_batch_size(20)
            .unwrap()
            .with_image_metric("certified_top1", move || metric.clone())
            .with_score("certified_top1");
        let mut step: Box<dyn Step<Classification>> = Box::new(GradientStep::default());
        if with_bounds {
            let new = IntervalStep::new(eps, 0.5, network.model(), store, &record);
            step = Box::new(new.unwrap());
        }
        let directory = tempfile::tempdir().unwrap();
        let mut certified = Vec::new();
        let config = TrainConfig {
            optimizer: OptimizerConfig::adam(),
            learning_rate: 0.003,
            ..TrainConfig::new(25)
        };
        Trainer::new(config, store, directory.path())
            .with_listener(|notice| {
                if let Notice::Epoch { record, .. } = notice {
                    certified.push(record.metric("val_certified_top1").unwrap());
                    let of_batches = record.metric("train_certified_top1");
                    assert_eq!(of_batches.is_some(), with_bounds);
                }
            })
            .run(&task, step.as_mut())
            .unwrap();
        println!("{certified:?}");
        certified[24]
    });
    assert!(certain > usual + 0.1, "{certain} {usual}");
}
