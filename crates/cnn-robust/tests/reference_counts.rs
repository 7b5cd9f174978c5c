//! On real weights and images Square Attack and FAB-T leave as many images as AutoAttack's
//! reference.
//!
//! `python tools/goldens/attack_counts.py ../shared` prints the reference's numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../../cnn-models/tests/common/formula.rs"]
mod formula;

use std::path::{Path, PathBuf};

use cnn_data::{Split, open_dataset};
use cnn_layers::Mode;
use cnn_models::{LoadOptions, Network, find};
use cnn_robust::attack::{Attack, AttackBatch, FabT, Square};
use cnn_robust::{AttackedModel, Draw, Draws, Error, Images, Norm, PixelClassifier, Threat};

const COUNT: usize = 200;

/// A path below the shared data; `None` where they are absent and may be.
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
        "{} is absent",
        path.display()
    );
    println!("shared data absent, skipped");
    None
}

/// Random numbers by the formula, the same for all images, for the reference draws a square for all
/// at once.
struct FormulaDraws {
    seed: u64,
}

impl Draws for FormulaDraws {
    fn uniform(&self, draw: Draw, count: usize) -> Result<Vec<f64>, Error> {
        let place = format!("{}.{}.{}", draw.name, draw.restart, draw.step);
        let name = format!("draws.{}.{place}", self.seed);
        let values = formula::formula_values(&name, &[count]);
        Ok(values.map(|value| (f64::from(value) + 1.) / 2.).collect())
    }

    fn normal(&self, _draw: Draw, _count: usize) -> Result<Vec<f64>, Error> {
        panic!("these attacks draw uniform numbers alone")
    }
}

fn network() -> Option<Network> {
    let options = LoadOptions {
        spec: Some(*find("resnet20_cifar10").unwrap()),
        ..LoadOptions::default()
    };
    let path = shared("hub/resnet20_cifar10/resnet20-12fca82f.th")?;
    Some(Network::load(&path, &options).unwrap())
}

fn batch() -> Option<AttackBatch<'static>> {
    let dataset = open_dataset(&shared("data/cifar10")?, Split::Test).unwrap();
    let mut values = Vec::new();
    let mut labels = Vec::new();
    for index in 0..COUNT {
        let sample = dataset.read(index).unwrap();
        values.extend(
            sample
                .image
                .bytes()
                .iter()
                .map(|byte| f64::from(*byte) / 255.),
        );
        labels.push(sample.label.unwrap() as u32);
    }
    let images = Images::new(COUNT, [32, 32, 3], values).unwrap();
    Some(AttackBatch::new(images, labels).unwrap())
}

#[test]
fn as_many_images_stand_as_in_the_reference() {
    let (Some(network), Some(batch)) = (network(), batch()) else {
        return;
    };
    let scorer = network.build(Mode::Inference).unwrap();
    let model = PixelClassifier::new(network.model(), network.preprocessing())
        .unwrap()
        .with_scorer(scorer.as_ref());
    let threat = |norm, eps| Threat::new(norm, eps).unwrap();
    let square = |threat| Square::new(threat).with_queries(40);
    let fab = FabT::new(threat(Norm::Linf, 1. / 255.)).with_steps(6);
    let cases: [(Box<dyn Attack>, [i64; 3]); 3] = [
        (
            Box::new(square(threat(Norm::Linf, 4. / 255.))),
            [166, 163, 157],
        ),
        (Box::new(square(threat(Norm::L2, 0.5))), [170, 168, 171]),
        (
            Box::new(fab.with_target_classes(1).with_restarts(2)),
            [57, 57, 57],
        ),
    ];
    for (attack, counts) in cases {
        for (seed, expected) in counts.into_iter().enumerate() {
            let draws = FormulaDraws { seed: seed as u64 };
            let batch = batch.clone().with_draws(&draws);
            let found = attack.run(&model, &batch).unwrap();
            let successes = batch.successes(&model.logits(&found).unwrap());
            let stand = successes.iter().filter(|success| !**success).count() as i64;
            let what = format!("{} {}", attack.name(), attack.threat().unwrap().norm);
            println!("{what}, seed {seed}: {stand}, in the reference {expected}");
            assert!(
                (stand - expected).abs() <= 1,
                "{what}, seed {seed}: {stand}"
            );
        }
    }
}
