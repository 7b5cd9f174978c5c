//! Training a network that finds objects, and measuring it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use cnn_core::{Key, Preprocessing};
use cnn_data::{Augmentation, Dataset, Shapes, ShapesConfig, Split};
use cnn_layers::{Context, DetectionLimits, Detector, Mode};
use cnn_models::{DetectionNetwork, ModelConfig, find};
use cnn_train::{
    BoxAugmentationPolicy, Detection, Epoch, GradientStep, OptimizerConfig, Task, TrainConfig,
    Trainer, check_box_datasets,
};
use cnn_transfer::{DetectionFineTune, Error, FineTuneConfig, Strategy, measure_detection};

fn shapes(split: Split, samples: usize) -> Arc<dyn Dataset> {
    let config = ShapesConfig::default().with_split(split);
    Arc::new(Shapes::new(config.with_samples(samples)).unwrap())
}

fn network() -> DetectionNetwork {
    let classes = shapes(Split::Train, 1).classes().to_vec();
    let config = ModelConfig {
        num_classes: Some(classes.len()),
        ..ModelConfig::default()
    };
    let spec = *find("yolox_nano").unwrap();
    let mut network = DetectionNetwork::of(spec, &config, 0).unwrap();
    network.set_label_names(classes).unwrap();
    network
}

fn record() -> Preprocessing {
    Preprocessing {
        input_size: [3, 64, 64],
        ..network().preprocessing().clone()
    }
}

fn task(network: &DetectionNetwork) -> Detection {
    let train = shapes(Split::Train, 24);
    let policy = BoxAugmentationPolicy {
        mixup: 0.5,
        ..BoxAugmentationPolicy::default()
    };
    let augmentation = |policy: BoxAugmentationPolicy| policy.augmentation(&record(), &train);
    let late = augmentation(policy.late()).unwrap();
    let augmentation = augmentation(policy).unwrap();
    let val = shapes(Split::Val, 8);
    Detection::new(train.clone(), val, record(), |mode| network.build(mode))
        .unwrap()
        .with_batch_size(8)
        .unwrap()
        .with_augmentation(augmentation)
        .with_late_augmentation(2, late)
        .with_sizes(vec![[64, 64], [96, 64], [32, 32]])
        .unwrap()
}

/// Its loss falls, the last epochs have one loss more, and a run that was cut ends in the same
/// weights, with mosaics, mixtures and inputs of several sizes.
#[test]
fn a_network_that_finds_objects_learns_and_goes_on_where_it_was_cut() {
    let config = |epochs| TrainConfig {
        optimizer: OptimizerConfig::adamw(),
        learning_rate: 1e-3,
        ..TrainConfig::new(epochs)
    };
    let whole = tempfile::tempdir().unwrap();
    let trained = network();
    let mut losses = Vec::new();
    let mut trainer = Trainer::new(config(3), trained.store(), whole.path());
    trainer
        .run(&task(&trained), &mut GradientStep::default())
        .unwrap();
    let log = std::fs::read_to_string(whole.path().join("metrics.csv")).unwrap();
    let mut rows = csv_rows(&log);
    let head = rows.remove(0);
    for name in [
        "train_iou_loss",
        "train_objectness_loss",
        "train_class_loss",
        "train_l1_loss",
        "val_ap",
        "val_ap50",
    ] {
        assert!(head.iter().any(|column| column == name), "{head:?}");
    }
    let column = |name: &str| head.iter().position(|column| column == name).unwrap();
    for row in &rows {
        losses.push(row[column("train_objectness_loss")].parse::<f64>().unwrap());
    }
    assert!(losses[2] < losses[0], "{losses:?}");
    let l1: Vec<f64> = rows
        .iter()
        .map(|row| row[column("train_l1_loss")].parse().unwrap())
        .collect();
    assert!(l1[0] == 0. && l1[1] == 0. && l1[2] > 0., "{l1:?}");

    let cut = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let again = network();
        let stopped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let is_first = !cut.path().join("resume.safetensors").exists();
        let flag = stopped.clone();
        let mut trainer = Trainer::new(config(3), again.store(), cut.path())
            .with_interrupt(stopped)
            .with_listener(move |notice| {
                if let cnn_train::Notice::Update {
                    epoch: 2, batch: 2, ..
                } = notice
                {
                    flag.store(is_first, std::sync::atomic::Ordering::Relaxed);
                }
            });
        trainer
            .run(&task(&again), &mut GradientStep::default())
            .unwrap();
    }
    let bytes = |directory: &std::path::Path| {
        std::fs::read(directory.join("last/model.safetensors")).unwrap()
    };
    assert!(bytes(whole.path()) == bytes(cut.path()));
}

/// Images, of which only the first has an object.
struct MostlyEmpty {
    inner: Arc<dyn Dataset>,
    classes: Vec<String>,
}

impl Dataset for MostlyEmpty {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<cnn_data::Content, cnn_data::Error> {
        self.inner.content(index)
    }

    fn has_boxes(&self) -> bool {
        true
    }

    fn read(&self, index: usize) -> Result<cnn_data::Sample, cnn_data::Error> {
        let sample = self.inner.read(index)?;
        let boxes = match index {
            0 => sample.boxes.clone(),
            _ => Vec::new(),
        };
        Ok(sample.with_boxes(boxes))
    }
}

/// Photos without objects, batches without any, and a class that never occurs.
#[test]
fn where_nothing_is_there_is_no_nan() {
    let classes = [shapes(Split::Train, 1).classes(), &["nothing".to_string()]].concat();
    let images = |split| -> Arc<dyn Dataset> {
        Arc::new(MostlyEmpty {
            inner: shapes(split, 6),
            classes: classes.clone(),
        })
    };
    let spec = *find("yolox_nano").unwrap();
    let config = ModelConfig {
        num_classes: Some(classes.len()),
        input_size: Some([64, 64]),
        ..ModelConfig::default()
    };
    let network = DetectionNetwork::of(spec, &config, 0).unwrap();
    let config = FineTuneConfig {
        strategy: Strategy::TwoPhase,
        head_epochs: 1,
        epochs: 2,
        batch_size: 2,
        ema: Some(0.9),
        ..FineTuneConfig::default()
    };
    let run = tempfile::tempdir().unwrap();
    let mut tuning = DetectionFineTune::new(network, images(Split::Train), images(Split::Val))
        .with_config(config)
        .with_late_augmentation(1, Augmentation::new())
        .with_sizes(vec![[64, 64], [96, 96]]);
    let summary = tuning.run(run.path()).unwrap();
    assert_eq!(summary.phases[0].changed, ["head"]);
    assert_eq!(summary.train.epochs, 3);
    let log = std::fs::read_to_string(run.path().join("metrics.csv")).unwrap();
    for row in csv_rows(&log).iter().skip(1) {
        let numbers = row.iter().filter_map(|cell| cell.parse::<f64>().ok());
        assert!(
            numbers.clone().count() > 5 && numbers.clone().all(f64::is_finite),
            "{log}"
        );
    }
    let images = images(Split::Test);
    let limits = tuning.network().model().limits();
    let measured = measure_detection(tuning.network(), &images, &limits, 4, &mut |_| ()).unwrap();
    let result = measured.metrics.result().unwrap();
    assert_eq!((result.samples, result.objects), (6, 1));
    assert!(result.coco.ap.unwrap().is_finite());
    assert!(result.coco.per_class.last().unwrap().ap.is_none());
}

/// Sizes that the network cannot halve evenly are named.
#[test]
fn sizes_fit_the_network() {
    let network = network();
    let message = task(&network)
        .with_sizes(vec![[64, 64], [64, 80]])
        .map(|_| ());
    assert_eq!(
        message.unwrap_err().to_string(),
        "`sizes`: found 64x80, expected multiples of 32"
    );
}

fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let row = |line: &str| line.split(',').map(str::to_string).collect();
    text.lines().map(row).collect()
}

/// What is measured is what COCO's rules say of all photos, with the dataset's classes.
#[test]
fn a_network_is_measured_on_photos_with_boxes() {
    let network = network();
    let limits = DetectionLimits {
        score: 0.,
        iou: 0.65,
        count: 5,
    };
    let photos = shapes(Split::Test, 5);
    let mut done = 0;
    let mut progress = |photos: usize| done += photos;
    let measured = measure_detection(&network, &photos, &limits, 2, &mut progress).unwrap();
    assert_eq!((done, measured.photos.len()), (5, 5));
    assert!(measured.photos.iter().all(|photo| photo.found.len() == 5));
    let coco = measured.metrics.coco().unwrap();
    assert!(coco.ap.unwrap() < 0.2, "{coco:?}");
    let objects: usize = coco
        .per_class
        .iter()
        .map(|class| class.objects as usize)
        .sum();
    let truth: usize = measured.photos.iter().map(|photo| photo.truth.len()).sum();
    assert_eq!(objects, truth);

    struct WithoutBoxes(Arc<dyn Dataset>);
    impl Dataset for WithoutBoxes {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn classes(&self) -> &[String] {
            self.0.classes()
        }
        fn label(&self, index: usize) -> Option<usize> {
            self.0.label(index)
        }
        fn content(&self, index: usize) -> Result<cnn_data::Content, cnn_data::Error> {
            self.0.content(index)
        }
    }
    let bare: Arc<dyn Dataset> = Arc::new(WithoutBoxes(photos.clone()));
    let error = measure_detection(&network, &bare, &limits, 2, &mut |_| ());
    assert!(matches!(error, Err(Error::NoBoxes)));
    let error = check_box_datasets(photos.as_ref(), bare.as_ref()).unwrap_err();
    assert!(
        error.to_string().contains("images without boxes"),
        "{error}"
    );
}

/// Batches without objects are trained on without numbers that are not finite.
#[test]
fn batches_come_with_their_boxes() {
    let network = network();
    let task = task(&network);
    let epoch = Epoch {
        number: 2,
        start: 0,
        key: Key::new(3),
    };
    let batch = task.batches(&epoch).unwrap().next().unwrap().unwrap();
    assert_eq!(task.samples(&batch), 8);
    let losses = task.loss(&batch, &Context::train(Key::new(1))).unwrap();
    let total = losses.total.to_scalar::<f32>().unwrap();
    let named: f64 = losses.named.iter().map(|(_, value)| value).sum();
    assert!(total.is_finite() && (f64::from(total) - named).abs() < 1e-3 * named);
    let model: Box<dyn Detector> = network.build(Mode::Train).unwrap();
    assert_eq!(model.num_classes(), shapes(Split::Train, 1).classes().len());
}
