//! Attacks against torchattacks and AutoAttack's reference: the same images are asked for, step by
//! step, and the same images are found.
//!
//! `python tools/goldens/attacks.py` makes the golden files.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../cnn-models/tests/common/formula.rs"]
mod formula;

use std::cell::RefCell;
use std::path::PathBuf;

use candle_core::{DType, Tensor};
use cnn_core::Preprocessing;
use cnn_models::{ModelConfig, Network, find};
use cnn_robust::attack::{
    Apgd, Attack, AttackBatch, CarliniWagner, DeepFool, FabT, Fgsm, MiFgsm, Pgd, RFgsm, Square,
};
use cnn_robust::{
    AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits, Norm, PixelClassifier,
    RecordedDraws, Threat,
};
use cnn_weights::TensorFile;

use formula::formula;

const SHAPE: [usize; 4] = [8, 3, 10, 8];
const EPS: f64 = 2. / 255.;
/// How far an image may be from the other program's.
const TOLERANCE: f64 = 1e-5;

fn network() -> Network {
    let spec = *find("resnet8_cifar10").unwrap();
    let network = Network::with_dtype(spec, &ModelConfig::default(), 0, DType::F64).unwrap();
    let store = network.store();
    for name in store.names() {
        let tensor = store.get(&name).unwrap();
        let value = formula(&name, tensor.dims(), tensor.dtype());
        store.set(&name, &value).unwrap();
    }
    network
}

fn record() -> Preprocessing {
    Preprocessing {
        mean: vec![0.4, 0.5, 0.6],
        std: vec![0.2, 0.25, 0.3],
        ..Preprocessing::default()
    }
}

fn images() -> Images {
    let values = formula("images", &SHAPE, DType::F64);
    let images = ((values + 1.).unwrap() / 2.).unwrap();
    Images::from_nchw(&images).unwrap()
}

/// What the other program did.
struct Golden {
    file: TensorFile,
}

impl Golden {
    fn open(case: &str) -> Self {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let path = PathBuf::from(directory).join(format!("{case}.safetensors"));
        let file = TensorFile::open(&path).unwrap();
        Self { file }
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.file.tensor(name).unwrap()
    }

    fn images(&self, name: &str) -> Images {
        Images::from_nchw(&self.tensor(name)).unwrap()
    }

    fn numbers(&self, name: &str) -> Vec<u32> {
        let tensor = self.tensor(name).to_dtype(DType::U32).unwrap();
        tensor.to_vec1().unwrap()
    }

    fn has(&self, name: &str) -> bool {
        self.file.names().any(|other| other == name)
    }

    /// The batches whose gradient was asked for; none of an attack that asks for none.
    fn queried(&self) -> Option<Vec<Images>> {
        if !self.has("queried") {
            return None;
        }
        if self.has("queried_sizes") {
            let all = self.images("queried");
            let mut first = 0;
            let batch = |size: u32| {
                let places: Vec<usize> = (first..first + size as usize).collect();
                first += size as usize;
                all.select(&places)
            };
            return Some(
                self.numbers("queried_sizes")
                    .into_iter()
                    .map(batch)
                    .collect(),
            );
        }
        let steps = self.tensor("queried");
        let step = |index| Images::from_nchw(&steps.get(index).unwrap()).unwrap();
        Some((0..steps.dims()[0]).map(step).collect())
    }

    /// Its random numbers, `draw.<name>.<restart>.<step>`, in the order of our images' values.
    fn draws(&self) -> RecordedDraws {
        let mut draws = RecordedDraws::default();
        for name in self.file.names() {
            let parts: Vec<&str> = name.split('.').collect();
            let &["draw", of, restart, step] = parts.as_slice() else {
                continue;
            };
            let rows = self.images(name);
            draws = draws.with(of, restart.parse().unwrap(), step.parse().unwrap(), rows);
        }
        draws
    }
}

/// A model that keeps the batches whose gradient was asked for.
struct Recorder<'a> {
    model: &'a dyn AttackedModel,
    queried: RefCell<Vec<Images>>,
}

impl AttackedModel for Recorder<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.model.logits(images)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        self.queried.borrow_mut().push(images.clone());
        self.model.gradient(images, loss)
    }
}

fn assert_same(found: &Images, expected: &Images, what: &str) {
    let pairs = found.values().iter().zip(expected.values());
    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0., f64::max);
    assert!(
        largest <= TOLERANCE && found.len() == expected.len(),
        "{what}: {largest}"
    );
}

/// Runs an attack as the other program did, and compares every step.
fn compare(case: &str, attack: &dyn Attack, targeted: bool) {
    let network = network();
    let model = PixelClassifier::new(network.model(), &record()).unwrap();
    let model = model.with_dtype(DType::F64);
    let golden = Golden::open(case);
    let count = golden.numbers("labels").len();
    let images = images().select(&(0..count).collect::<Vec<_>>());
    let logits = model.logits(&images).unwrap();
    let labels = logits.predictions();
    assert_eq!(labels, golden.numbers("labels"), "{case}");
    let targets = logits.rows().map(second).collect();
    let draws = golden.draws();
    let mut batch = AttackBatch::new(images, labels).unwrap().with_draws(&draws);
    if targeted {
        batch = batch.with_targets(targets).unwrap();
    }
    let recorder = Recorder {
        model: &model,
        queried: RefCell::default(),
    };
    let adversarial = attack.run(&recorder, &batch).unwrap();
    if let Some(expected) = golden.queried() {
        let found = recorder.queried.borrow();
        assert_eq!(found.len(), expected.len(), "{case}: gradients");
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_same(found, expected, &format!("{case}, step {step}"));
        }
    }
    assert_same(&adversarial, &golden.images("adversarial"), case);
    let successes = batch.successes(&model.logits(&adversarial).unwrap());
    let successes: Vec<u32> = successes.into_iter().map(u32::from).collect();
    assert_eq!(successes, golden.numbers("success"), "{case}");
}

/// The class of the second highest score.
fn second(logits: &[f64]) -> u32 {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order[1] as u32
}

fn ball() -> Threat {
    Threat::linf(EPS).unwrap()
}

fn pgd() -> Pgd {
    let pgd = Pgd::new(ball()).with_steps(10);
    pgd.with_step_size(EPS / 4.).unwrap()
}

#[test]
fn fgsm() {
    compare("fgsm", &Fgsm::new(EPS).unwrap(), false);
}

#[test]
fn bim_and_pgd() {
    compare("bim", &pgd().with_random_start(false), false);
    compare("pgd", &pgd(), false);
    compare("pgd_targeted", &pgd(), true);
    let l2 = Pgd::new(Threat::new(Norm::L2, 0.5).unwrap());
    let l2 = l2.with_steps(10).with_step_size(0.1).unwrap();
    compare("pgd_l2", &l2, false);
}

fn sized(norm: Norm, eps: f64) -> Threat {
    Threat::new(norm, eps).unwrap()
}

#[test]
fn apgd() {
    let steps = |attack: Apgd| attack.with_steps(25);
    compare("apgd_ce", &steps(Apgd::cross_entropy(ball())), false);
    let half = Threat::linf(EPS / 2.).unwrap();
    let dlr = Apgd::dlr(half).with_steps(10).with_restarts(2);
    compare("apgd_dlr", &dlr, false);
    let targeted = steps(Apgd::targeted(half)).with_target_classes(3);
    compare("apgd_t", &targeted, false);
    let l2 = steps(Apgd::cross_entropy(sized(Norm::L2, 0.1)));
    compare("apgd_ce_l2", &l2, false);
    let l1 = steps(Apgd::cross_entropy(sized(Norm::L1, 0.4)));
    compare("apgd_ce_l1", &l1, false);
    let shrinking = l1.with_shrinking_ball(true);
    compare("apgd_ce_l1_shrinking", &shrinking, false);
}

#[test]
fn fab() {
    let attack = |threat| FabT::new(threat).with_steps(10).with_target_classes(2);
    compare("fab_t", &attack(ball()).with_restarts(2), false);
    compare("fab_t_l2", &attack(sized(Norm::L2, 0.1)), false);
    compare("fab_t_l1", &attack(sized(Norm::L1, 0.4)), false);
}

#[test]
fn square() {
    let attack = |threat| Square::new(threat).with_queries(60);
    compare("square", &attack(ball()), false);
    compare("square_l2", &attack(sized(Norm::L2, 0.2)), false);
    let l1 = attack(sized(Norm::L1, 2.)).with_rescaled_schedule(false);
    compare("square_l1", &l1, false);
}

#[test]
fn steps_from_random_points() {
    compare("ffgsm", &Fgsm::new(EPS).unwrap().with_random_start(), false);
    compare("rfgsm", &RFgsm::new(EPS).unwrap(), false);
}

#[test]
fn momentum() {
    let attack = MiFgsm::new(EPS).unwrap();
    compare("mifgsm", &attack.with_decay(0.9).unwrap(), false);
    compare("mifgsm_targeted", &attack, true);
}

#[test]
fn deep_fool() {
    compare("deepfool", &DeepFool::new(), false);
    let network = network();
    let model = PixelClassifier::new(network.model(), &record()).unwrap();
    let model = model.with_dtype(DType::F64);
    let golden = Golden::open("deepfool");
    let batch = AttackBatch::new(images(), golden.numbers("labels")).unwrap();
    for steps in 1..=5 {
        let found = DeepFool::new().with_steps(steps).run(&model, &batch);
        let name = format!("after.{steps}");
        assert_same(&found.unwrap(), &golden.images(&name), &name);
    }
}

#[test]
fn carlini_wagner() {
    let attack = CarliniWagner::new().with_search_steps(1).unwrap();
    let attack = attack.with_weight(5.).unwrap().with_steps(50);
    let attack = attack.with_step_size(0.01).unwrap().with_early_stop(true);
    compare("cw", &attack, false);
    compare("cw_targeted", &attack, true);
    // Here the descents of the images end at different steps.
    compare("cw_alone", &attack.with_weight(0.5).unwrap(), false);
}
