//! A loss, a metric and a score of one's own in the usual classification; what is refused.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::Tensor;
use cnn_core::Preprocessing;
use cnn_data::{Shapes, ShapesConfig, Split};
use cnn_layers::{
    Activation, BatchNorm2dConfig, BatchNormPolicy, Classifier, Context, Conv2dConfig,
    ConvNormActConfig, FeatureMap, GlobalAvgPool2d, Layer as _, LinearConfig, LinearHead, Mode,
    StagedBuilder, Store,
};
use cnn_train::{
    Classification, Epoch, Error, Evaluation, Forward, GradientStep, Losses, Metric, Notice,
    Targets, Task, TaskBatches, TrainConfig, Trainer, log_softmax,
};

fn network(store: &Store, mode: Mode) -> Result<Forward, Error> {
    let root = store.builder(mode);
    let conv = Conv2dConfig::new(3, 6, 3);
    let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(6), Activation::Relu);
    let unit = unit.build(&root.pp("conv"), &root.pp("bn"))?;
    let pool = GlobalAvgPool2d::new().at(&root.pp("pool"));
    let head = LinearConfig::new(6, 10).build(&root.pp("head"))?;
    Ok(Forward::new(move |images, cx| {
        let maps = unit.forward(images, cx)?;
        head.forward(&pool.forward(&maps, cx)?.flatten()?, cx)
    }))
}

fn task(store: &Store) -> Classification {
    task_of(|mode| network(store, mode))
}

fn task_of<F: Into<Forward>>(build: impl Fn(Mode) -> Result<F, Error>) -> Classification {
    let images = |samples, split| {
        let config = ShapesConfig::default().with_samples(samples);
        Arc::new(Shapes::new(config.with_split(split)).unwrap())
    };
    let preprocessing = Preprocessing {
        input_size: [3, 32, 32],
        ..Preprocessing::default()
    };
    let train = images(96, Split::Train);
    let val = images(20, Split::Val);
    Classification::new(train, val, preprocessing, build).unwrap()
}

/// The focal loss of exponent 2 (Lin et al. 2017).
fn focal(logits: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
    let (samples, classes) = logits.dims2()?;
    let log = log_softmax(logits)?;
    let wrong = (1. - log.exp()?)?.sqr()?;
    let losses = (targets.distributions(classes)? * wrong * log)?;
    Ok((losses.sum_all()? / -(samples as f64))?)
}

/// How many images were seen, less the number of evaluations so far: it falls from epoch to epoch.
struct Falling {
    images: usize,
    evaluations: usize,
}

impl Metric for Falling {
    fn update(&mut self, logits: &Tensor, labels: &[u32]) -> Result<(), Error> {
        assert_eq!(logits.dims(), [labels.len(), 10]);
        self.images += labels.len();
        Ok(())
    }

    fn value(&self) -> f64 {
        (self.images - self.evaluations) as f64
    }
}

#[test]
fn a_loss_a_metric_and_a_score_of_ones_own() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(0);
    let evaluations = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let new = move || Falling {
        images: 0,
        evaluations: evaluations.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
    };
    let task = task(&store)
        .with_loss(focal)
        .with_metric("falling", new)
        .with_score("falling");
    let mut losses = Vec::new();
    let summary = Trainer::new(TrainConfig::new(3), &store, directory.path())
        .with_listener(|notice| {
            if let Notice::Epoch { record, .. } = notice {
                losses.push(record.metric("train_loss").unwrap());
                assert_eq!(
                    record.metric("val_falling"),
                    Some((21 - record.epoch) as f64)
                );
            }
        })
        .run(&task, &mut GradientStep::default())
        .unwrap();
    // 0.81·ln 10 at first: where nothing is known, the focal loss is that much less.
    assert!((losses[0] - 0.81 * 10f64.ln()).abs() < 0.2, "{losses:?}");
    assert!(losses[2] < losses[0], "{losses:?}");
    let best = summary.best.unwrap();
    assert_eq!((best.epoch, best.score), (1, 20.));
    assert_eq!(best.score_name, "falling");
    let columns = std::fs::read_to_string(directory.path().join("metrics.csv")).unwrap();
    let columns = columns.lines().next().unwrap().to_string();
    assert_eq!(
        columns,
        "epoch,lr,train_loss,train_top1,val_loss,val_top1,val_top5,val_falling,seconds"
    );
}

fn refusal(task: &Classification, store: &Store) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(TrainConfig::new(1), store, directory.path());
    trainer
        .run(task, &mut GradientStep::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn an_unknown_score_and_an_error_of_ones_own_are_told() {
    let store = Store::new(0);
    let unknown = refusal(&task(&store).with_score("loss"), &store);
    assert_eq!(unknown, "`score`: found loss, expected one of top1, top5");
    let failing = |_: &Tensor, _: &Targets| Err(Error::other("no such loss"));
    assert_eq!(
        refusal(&task(&store).with_loss(failing), &store),
        "no such loss"
    );
}

/// A network of another store, or one that is built for evaluation, would train nothing.
#[test]
fn a_step_without_any_gradient_is_an_error() {
    let trained = Store::new(0);
    let other = Store::new(1);
    drop(network(&trained, Mode::Train).unwrap());
    let said = refusal(&task(&other), &trained);
    assert!(
        said.contains("`gradients`: found none") && said.contains("Mode::Train"),
        "{said}"
    );
}

/// The usual task, with a loss that is never finite, and the policy of each of its passes.
struct Infinite {
    inner: Classification,
    policies: RefCell<Vec<BatchNormPolicy>>,
}

impl Task for Infinite {
    type Batch = cnn_data::Batch;

    fn batches_per_epoch(&self) -> usize {
        self.inner.batches_per_epoch()
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Self::Batch>, Error> {
        self.inner.batches(epoch)
    }

    fn samples(&self, batch: &Self::Batch) -> usize {
        self.inner.samples(batch)
    }

    fn loss(&self, batch: &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        self.policies.borrow_mut().push(cx.batch_norm());
        let losses = self.inner.loss(batch, cx)?;
        Ok(Losses::new((losses.total * f64::INFINITY)?))
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        self.inner.evaluate()
    }
}

/// The step, and the pass that looks for the layer where a value was not finite, which moves no
/// statistics.
#[test]
fn the_search_for_what_is_not_finite_moves_no_statistics() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(0);
    let task = Infinite {
        inner: task(&store),
        policies: RefCell::default(),
    };
    let mut trainer = Trainer::new(TrainConfig::new(1), &store, directory.path());
    let error = trainer.run(&task, &mut GradientStep::default());
    let error = error.unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error}");
    let passes = [BatchNormPolicy::Update, BatchNormPolicy::BatchOnly];
    assert_eq!(task.policies.into_inner(), passes);
}

#[test]
fn statistics_that_the_store_freezes_stay_while_their_layers_are_trained() {
    let statistics =
        |store: &Store| -> Vec<f32> { store.get("bn.running_mean").unwrap().to_vec1().unwrap() };
    for (frozen, stay) in [(true, true), (false, false)] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(0);
        // The first model of a store makes its tensors.
        task(&store);
        store.set_statistics_frozen(frozen, |_| true);
        let task = task(&store);
        let before = statistics(&store);
        let mut trainer = Trainer::new(TrainConfig::new(1), &store, directory.path());
        trainer.run(&task, &mut GradientStep::default()).unwrap();
        assert_eq!(statistics(&store) == before, stay);
    }
}

/// A stage with an auxiliary head on its map, a second stage, and the head.
fn with_auxiliary(store: &Store, mode: Mode) -> Result<Box<dyn Classifier>, Error> {
    let root = store.builder(mode);
    let mut net = StagedBuilder::new(&root, 3);
    for name in ["layer1", "layer2"] {
        let unit = ConvNormActConfig::relu(net.channels(), 6, 3).with_stride(2);
        let unit = unit.build(&net.at(name).pp(0), &net.at(name).pp(1))?;
        net.group(name, &[name]);
        net.add(unit).set_channels(6).add_stride(2);
        net.end_stage(name);
        if name == "layer1" {
            net.auxiliary("aux", 0.4, LinearHead::build(&root, "aux", 6, 10, 0.)?);
        }
    }
    Ok(Box::new(net.linear_classifier("fc", 10, 0.)?))
}

#[test]
fn an_auxiliary_head_is_trained_and_not_evaluated() {
    let store = Store::new(0);
    let task = task_of(|mode| with_auxiliary(&store, mode));
    let epoch = Epoch {
        number: 0,
        start: 0,
        key: cnn_core::Key::new(0),
    };
    let batch = task.batches(&epoch).unwrap().next().unwrap().unwrap();
    let cx = Context::train(cnn_core::Key::new(1));
    let losses = task.loss(&batch, &cx).unwrap();

    // The total is the main loss and the head's, weighed as the network says or as is asked for,
    // each computed by itself.
    let model = with_auxiliary(&store, Mode::Train).unwrap();
    let images = FeatureMap::from_nhwc(&batch.images).unwrap();
    let outputs = model.forward_outputs(&images, &cx).unwrap();
    let labels: Vec<usize> = batch.labels.iter().flatten().copied().collect();
    let loss = |logits: &Tensor| -> f64 {
        let log: Vec<Vec<f32>> = log_softmax(logits).unwrap().to_vec2().unwrap();
        let picked = log
            .iter()
            .zip(&labels)
            .map(|(row, &label)| f64::from(row[label]));
        -picked.sum::<f64>() / labels.len() as f64
    };
    let auxiliary = loss(&outputs.auxiliary[0].output);
    let other = task_of(|mode| with_auxiliary(&store, mode)).with_auxiliary_weight(0.25);
    let other = other.loss(&batch, &cx).unwrap();
    for (losses, weight) in [(&losses, 0.4), (&other, 0.25)] {
        let expected = loss(&outputs.main) + weight * auxiliary;
        let total = f64::from(losses.total.to_scalar::<f32>().unwrap());
        assert!((total - expected).abs() < 1e-5, "{total} {expected}");
    }
    let names: Vec<&str> = losses.named.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["top1", "aux_loss"]);
    assert!((losses.named[1].1 - auxiliary).abs() < 1e-5);

    // Training moves the head; evaluation is the main output's alone.
    let before = store.get("aux.weight").unwrap().copy().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(TrainConfig::new(1), &store, directory.path());
    trainer.run(&task, &mut GradientStep::default()).unwrap();
    let moved = (store.get("aux.weight").unwrap() - before).unwrap();
    let moved = moved.abs().unwrap().sum_all().unwrap();
    assert!(moved.to_scalar::<f32>().unwrap() > 0.);
    let evaluation = task.evaluate().unwrap();
    let zeros = Tensor::zeros((10, 6), candle_core::DType::F32, &candle_core::Device::Cpu);
    store.set("aux.weight", &zeros.unwrap()).unwrap();
    assert_eq!(task.evaluate().unwrap(), evaluation);
    let names: Vec<&str> = evaluation
        .metrics
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["loss", "top1", "top5"]);
}

#[test]
fn an_inference_build_that_training_outran_is_refused() {
    let store = Store::new(0);
    let task = task_of(|mode| {
        let mode = if mode == Mode::Eval {
            Mode::Inference
        } else {
            mode
        };
        with_auxiliary(&store, mode)
    });
    let directory = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(TrainConfig::new(1), &store, directory.path());
    let error = trainer
        .run(&task, &mut GradientStep::default())
        .unwrap_err();
    assert!(
        matches!(&error, Error::Layer(cnn_layers::Error::Stale { layer }) if layer == "layer1.0"),
        "{error}"
    );
}
