//! A trained network with real images.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use cnn_core::Preprocessing;
use cnn_data::{BatchPlan, Split, open_dataset};
use cnn_layers::{Classifier, Mode};
use cnn_models::{LoadOptions, Network, find};
use cnn_robust::attack::AttackBatch;
use cnn_robust::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits, PixelClassifier};

/// A path below the shared data; `None` where they are absent and may be.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
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

/// The published ResNet-20 for CIFAR-10.
pub(crate) struct Trained {
    network: Network,
    scorer: Box<dyn Classifier>,
}

impl Trained {
    pub(crate) fn load() -> Option<Self> {
        let path = shared("hub/resnet20_cifar10/resnet20-12fca82f.th")?;
        let options = LoadOptions {
            spec: Some(*find("resnet20_cifar10").unwrap()),
            ..LoadOptions::default()
        };
        let network = Network::load(&path, &options).unwrap();
        let scorer = network.build(Mode::Inference).unwrap();
        Some(Self { network, scorer })
    }

    pub(crate) fn model(&self) -> PixelClassifier<'_> {
        PixelClassifier::new(self.network.model(), self.network.preprocessing())
            .unwrap()
            .with_scorer(self.scorer.as_ref())
    }
}

/// Test images of CIFAR-10 by their numbers.
pub(crate) fn photos(numbers: std::ops::Range<usize>) -> Option<AttackBatch<'static>> {
    let dataset = open_dataset(&shared("data/cifar10")?, Split::Test).unwrap();
    let record = Preprocessing {
        input_size: [3, 32, 32],
        crop_pct: 1.,
        mean: vec![0.; 3],
        std: vec![1.; 3],
        ..Preprocessing::default()
    };
    let samples = numbers.clone().map(|number| number as u64).collect();
    let plan = BatchPlan::new(dataset, record)
        .with_batch_size(numbers.len())
        .with_order(numbers.collect());
    let batch = plan.start().unwrap().next().unwrap().unwrap();
    let labels = batch.labels.iter().map(|label| label.unwrap() as u32);
    let images = Images::from_nhwc(&batch.images).unwrap();
    let batch = AttackBatch::new(images, labels.collect()).unwrap();
    Some(batch.with_samples(samples).unwrap())
}

/// The images that a model is right about.
pub(crate) fn right<'a>(model: &dyn AttackedModel, batch: &AttackBatch<'a>) -> AttackBatch<'a> {
    let wrong = batch.successes(&model.logits(batch.images()).unwrap());
    let places: Vec<usize> = (0..batch.len()).filter(|&at| !wrong[at]).collect();
    batch.select(&places)
}

/// On how many images an attack succeeded.
pub(crate) fn count(model: &dyn AttackedModel, batch: &AttackBatch<'_>, images: &Images) -> usize {
    let successes = batch.successes(&model.logits(images).unwrap());
    successes.into_iter().filter(|success| *success).count()
}

/// A model that has no gradient to give.
pub(crate) struct ScoresAlone<'a>(pub(crate) &'a dyn AttackedModel);

impl AttackedModel for ScoresAlone<'_> {
    fn num_classes(&self) -> usize {
        self.0.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.0.logits(images)
    }

    fn gradient(&self, _: &Images, _: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        Err(Error::Other("a gradient was asked for".into()))
    }
}

/// A model whose scores are 1 of the predicted class and 0 of the others.
pub(crate) struct PredictionsAlone<'a>(pub(crate) &'a dyn AttackedModel);

impl AttackedModel for PredictionsAlone<'_> {
    fn num_classes(&self) -> usize {
        self.0.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let scores = self.0.logits(images)?;
        let mut predicted = scores.zeros_like();
        for (index, class) in scores.predictions().into_iter().enumerate() {
            predicted.row_mut(index)[class as usize] = 1.;
        }
        Ok(predicted)
    }

    fn gradient(&self, _: &Images, _: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        Err(Error::Other("a gradient was asked for".into()))
    }
}
