//! One update of the methods that train in alternation, against the papers' steps written out: each
//! domain is one batch, so that its order is of no account, and descent is plain.
#![allow(clippy::unwrap_used, clippy::panic)]

mod adaptation;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use adaptation::{FEATURES, config, learnt, load, shapes, source_validation};
use candle_core::{DType, Tensor, Var};
use cnn_core::Key;
use cnn_data::{Batch, BatchPlan, Dataset, ShapesDomain, Split};
use cnn_layers::{Context, FeatureMap, LinearConfig, Mode, Store, backward};
use cnn_models::{Bottlenecked, Network};
use cnn_train::{Notice, OptimizerConfig, log_softmax};
use cnn_transfer::adapt::{
    Adaptation, AdaptationConfig, AdaptationMethod, DomainDiscriminatorConfig, Unlabelled,
};
use cnn_weights::TensorFile;

const SEED: u64 = 3;
/// Images of a domain, and of a batch.
const IMAGES: usize = 24;
/// The learning rate, what the backbone has of it, and what ADDA's features have of it.
const RATE: f64 = 0.05;
const BACKBONE: f64 = 0.2;
const ADDA_FEATURES: f64 = 0.1;
/// How much MCD's heads are to disagree.
const TRADE_OFF: f64 = 0.7;
/// Hidden features of the discriminator.
const HIDDEN: usize = 1024;

fn source() -> Arc<dyn Dataset> {
    shapes(ShapesDomain::Day, IMAGES, Split::Train)
}

fn target() -> Arc<dyn Dataset> {
    shapes(ShapesDomain::Night, IMAGES, Split::Train)
}

fn batch(images: Arc<dyn Dataset>, network: &Network) -> Batch {
    let plan = BatchPlan::new(images, network.preprocessing().clone());
    let mut batches = plan.with_batch_size(IMAGES).start().unwrap();
    batches.next().unwrap().unwrap()
}

/// One update of a method from the network that has learnt, and what it logs.
fn update(method: AdaptationMethod, directory: &Path) -> BTreeMap<String, f64> {
    let config = AdaptationConfig {
        epochs: 1,
        updates: Some(1),
        batch_size: IMAGES,
        seed: SEED,
        learning_rate: RATE,
        backbone_scale: BACKBONE,
        optimizer: OptimizerConfig::Sgd {
            momentum: 0.,
            nesterov: false,
        },
        weight_decay: 0.,
        trade_off: Some(TRADE_OFF),
        ..config(method)
    };
    let target = Unlabelled::new(target());
    let mut logged = BTreeMap::new();
    let run = Adaptation::new(learnt(), source(), source_validation(), target, config);
    let mut run = run.unwrap().with_listener(|notice| {
        if let Notice::Update { report, .. } = notice {
            logged = report.values.iter().cloned().collect();
        }
    });
    run.run(directory).unwrap();
    drop(run);
    logged
}

/// A network with what is behind and before its features.
struct Parts {
    network: Network,
    built: Bottlenecked,
}

impl Parts {
    fn learnt(mode: Mode) -> Self {
        let network = learnt();
        let builder = network.store().builder(mode);
        let built = Bottlenecked::build(&network.config().model, &builder).unwrap();
        Self { network, built }
    }

    /// In training, so that statistics are the batch's.
    fn features(&self, batch: &Batch, cx: &Context<'_>) -> Tensor {
        let images = FeatureMap::from_nhwc(&batch.images).unwrap();
        self.built.features(&images, cx).unwrap()
    }

    fn scores(&self, features: &Tensor) -> Tensor {
        self.built.scores(features, &training()).unwrap()
    }

    /// What makes features, with the rate of each; and what makes scores of them.
    fn trained(&self) -> [Vec<(Var, f64)>; 2] {
        let all = self.network.store().trainable();
        let (heads, features): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(name, _)| name.starts_with("head."));
        let rated = |(name, var): (String, Var)| {
            let is_backbone = name.starts_with("backbone.");
            (var, if is_backbone { BACKBONE } else { 1. })
        };
        [
            features.into_iter().map(rated).collect(),
            heads.into_iter().map(|(_, var)| (var, 1.)).collect(),
        ]
    }
}

fn training() -> Context<'static> {
    Context::train(Key::new(0))
}

fn of_store(store: &Store) -> Vec<(Var, f64)> {
    let all = store.trainable().into_iter();
    all.map(|(_, var)| (var, 1.)).collect()
}

/// `w ← w − rate · scale · gradient`.
fn descend(loss: &Tensor, trained: &[(Var, f64)], rate: f64) {
    let gradients = backward(loss).unwrap();
    let steps: Vec<(&Var, Tensor)> = trained
        .iter()
        .filter_map(|(var, scale)| Some((var, (gradients.get(var)? * (rate * scale)).unwrap())))
        .collect();
    assert!(!steps.is_empty());
    for (var, step) in steps {
        let moved = (var.as_detached_tensor() - step).unwrap();
        var.set(&moved).unwrap();
    }
}

/// `mean ln(1 + e^x)`.
fn softplus(xs: &Tensor) -> Tensor {
    let values = (xs.exp().unwrap() + 1.).unwrap().log().unwrap();
    values.mean_all().unwrap()
}

fn cross_entropy(logits: &Tensor, batch: &Batch) -> Tensor {
    let labels = batch.labels.iter().map(|label| label.unwrap() as u32);
    let labels = Tensor::from_iter(labels, logits.device()).unwrap();
    let log = log_softmax(logits).unwrap();
    let of_labels = log.gather(&labels.unsqueeze(1).unwrap(), 1).unwrap();
    of_labels.mean_all().unwrap().neg().unwrap()
}

fn number(scalar: &Tensor) -> f64 {
    let wide = scalar.to_dtype(DType::F64).unwrap();
    wide.to_scalar().unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let wide = tensor.to_dtype(DType::F64).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// Holds how far each parameter went against how far it was to go.
fn assert_moved(found: impl Fn(&str) -> Tensor, expected: &Store, before: &Store) {
    let mut moved = 0;
    for (name, tensor) in expected.tensors() {
        // A bias before a norm has no effect, and no gradient but rounding.
        let is_free = name.ends_with("running_mean")
            || name.ends_with("running_var")
            || name.ends_with("num_batches_tracked")
            || [
                "bottleneck.0.bias",
                "domain_discriminator.0.bias",
                "domain_discriminator.3.bias",
            ]
            .contains(&name.as_str());
        if is_free {
            continue;
        }
        let before = values(&before.get(&name).unwrap());
        let expected = values(&tensor);
        let found = values(&found(&name));
        let way = norm(expected.iter().zip(&before).map(|(a, b)| a - b));
        let far = norm(found.iter().zip(&expected).map(|(a, b)| a - b));
        // What numbers of this size cannot tell apart; a rectifier that rounding turns over moves
        // some parameters by a few percent.
        let rounding = 1e-6 * norm(before.iter().copied());
        assert!(far <= 0.1 * way + rounding, "{name}: {far:e} of {way:e}");
        moved += usize::from(way > 10. * rounding);
    }
    assert!(moved > 1, "{moved} parameters moved");
}

fn kept(directory: &Path, store: &str, name: &str) -> Tensor {
    let file = TensorFile::open(directory.join("resume.safetensors")).unwrap();
    let ending = format!("{store}.{name}");
    let found = file.names().find(|one| one.ends_with(&ending));
    file.tensor(found.unwrap()).unwrap()
}

/// First the discriminator learns to tell the features of the source's network from those of the
/// target's, then the target's are to be taken for the source's; scores stay as they were.
#[test]
fn adda_makes_the_papers_two_steps() {
    let directory = tempfile::tempdir().unwrap();
    let logged = update(AdaptationMethod::Adda, directory.path());

    let before = Parts::learnt(Mode::Eval);
    let parts = Parts::learnt(Mode::Train);
    let fresh = || {
        let store = Store::new(SEED);
        let at = store.builder(Mode::Train).pp("domain_discriminator");
        let built = DomainDiscriminatorConfig::new(FEATURES, HIDDEN);
        (built.build(&at).unwrap(), store)
    };
    let (discriminator, discriminator_store) = fresh();
    let of_source = before.features(&batch(source(), &before.network), &Context::eval());
    let of_target = parts.features(&batch(target(), &parts.network), &training());
    let judged = |of_target: &Tensor| {
        let joined = Tensor::cat(&[&of_source.detach(), of_target], 0).unwrap();
        let logits = discriminator.forward(&joined, &training()).unwrap();
        let of_source = logits.narrow(0, 0, IMAGES).unwrap();
        (of_source, logits.narrow(0, IMAGES, IMAGES).unwrap())
    };

    let (is_source, is_target) = judged(&of_target.detach());
    let wrong = (softplus(&is_source.neg().unwrap()) + softplus(&is_target)).unwrap();
    let of_discriminator = (wrong / 2.).unwrap();
    let expected = number(&of_discriminator);
    assert!(
        (logged["discriminator_loss"] - expected).abs() < 1e-5,
        "{logged:?}, {expected}"
    );
    descend(&of_discriminator, &of_store(&discriminator_store), RATE);

    let (_, is_target) = judged(&of_target);
    let of_features = softplus(&is_target.neg().unwrap());
    let expected = number(&of_features);
    assert!(
        (logged["loss"] - expected).abs() < 1e-4,
        "{logged:?}, {expected}"
    );
    let [features, _] = parts.trained();
    descend(&of_features, &features, RATE * ADDA_FEATURES);

    let after = load(directory.path(), "last");
    let found = |name: &str| after.store().get(name).unwrap();
    assert_moved(found, parts.network.store(), before.network.store());
    let of_discriminator = |name: &str| kept(directory.path(), "discriminator", name);
    assert_moved(of_discriminator, &discriminator_store, &fresh().1);
    // The source's network is kept, and has not moved.
    for (name, tensor) in before.network.store().tensors() {
        let kept = kept(directory.path(), "source_network", &name);
        assert_eq!(values(&kept), values(&tensor), "{name}");
    }
}

/// All learn from the source; the heads learn to disagree on the target while the source holds
/// them; four times the features learn to make them agree.
#[test]
fn mcd_makes_the_papers_three_steps() {
    let directory = tempfile::tempdir().unwrap();
    let logged = update(AdaptationMethod::Mcd, directory.path());

    let before = Parts::learnt(Mode::Eval);
    let parts = Parts::learnt(Mode::Train);
    let fresh = || {
        let store = Store::new(SEED);
        let at = store.builder(Mode::Train).pp("second_head");
        let built = LinearConfig::new(FEATURES, 10).build(&at).unwrap();
        (built, store)
    };
    let (second_head, second_store) = fresh();
    let [of_features, mut of_heads] = parts.trained();
    of_heads.extend(of_store(&second_store));
    let source = batch(source(), &parts.network);
    let target = batch(target(), &parts.network);
    let both = |features: &Tensor| {
        let second = second_head.forward(features, &training()).unwrap();
        (parts.scores(features), second)
    };
    let on_source = |features: &Tensor| {
        let (first, second) = both(features);
        (cross_entropy(&first, &source) + cross_entropy(&second, &source)).unwrap()
    };
    let discrepancy = |features: &Tensor| {
        let (first, second) = both(features);
        let probabilities = |logits: &Tensor| log_softmax(logits).unwrap().exp().unwrap();
        let apart = (probabilities(&first) - probabilities(&second)).unwrap();
        apart.abs().unwrap().mean_all().unwrap()
    };

    let loss = on_source(&parts.features(&source, &training()));
    let expected = number(&loss);
    assert!(
        (logged["loss"] - expected).abs() < 1e-4 * expected,
        "{logged:?}, {expected}"
    );
    let all = [of_features.clone(), of_heads.clone()].concat();
    descend(&loss, &all, RATE);

    let source_features = parts.features(&source, &training()).detach();
    let target_features = parts.features(&target, &training()).detach();
    let apart = (discrepancy(&target_features) * TRADE_OFF).unwrap();
    let loss = (on_source(&source_features) - apart).unwrap();
    descend(&loss, &of_heads, RATE);

    let mut last = 0.;
    for _ in 0..4 {
        let features = parts.features(&target, &training());
        let apart = discrepancy(&features);
        last = number(&apart);
        descend(&(apart * TRADE_OFF).unwrap(), &of_features, RATE);
    }
    assert!(
        (logged["transfer_loss"] - last).abs() < 1e-4,
        "{logged:?}, {last}"
    );

    let after = load(directory.path(), "last");
    let found = |name: &str| after.store().get(name).unwrap();
    assert_moved(found, parts.network.store(), before.network.store());
    let of_second = |name: &str| kept(directory.path(), "second_head", name);
    assert_moved(of_second, &second_store, &fresh().1);
}
