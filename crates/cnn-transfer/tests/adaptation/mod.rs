//! Small runs of domain adaptation, from shapes by day to shapes by night, and what they leave.
#![allow(dead_code, reason = "each test takes some of it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use cnn_data::{Content, Dataset, Sample, Shapes, ShapesConfig, ShapesDomain, Split};
use cnn_models::{LoadOptions, ModelConfig, Network, find};
use cnn_transfer::adapt::{
    Adaptation, AdaptationConfig, AdaptationMethod, AdaptationSummary, Unlabelled,
};
use tempfile::TempDir;

/// Rows and columns of the images.
pub(crate) const SIDE: usize = 16;
/// Images of a domain in a batch.
pub(crate) const BATCH: usize = 8;
/// Features behind the bottleneck.
pub(crate) const FEATURES: usize = 24;

pub(crate) fn shapes(domain: ShapesDomain, samples: usize, split: Split) -> Arc<dyn Dataset> {
    let config = ShapesConfig::default().with_size(SIDE, SIDE);
    let config = config.with_domain(domain).with_samples(samples);
    Arc::new(Shapes::new(config.with_split(split)).unwrap())
}

pub(crate) fn source() -> Arc<dyn Dataset> {
    shapes(ShapesDomain::Day, 24, Split::Train)
}

pub(crate) fn source_validation() -> Arc<dyn Dataset> {
    shapes(ShapesDomain::Day, 16, Split::Val)
}

pub(crate) fn target() -> Arc<dyn Dataset> {
    shapes(ShapesDomain::Night, 32, Split::Train)
}

pub(crate) fn target_test() -> Arc<dyn Dataset> {
    shapes(ShapesDomain::Night, 12, Split::Test)
}

/// A network with a narrow bottleneck that has learnt nothing.
pub(crate) fn fresh() -> Network {
    let config = ModelConfig {
        input_size: Some([SIDE, SIDE]),
        ..ModelConfig::default()
    };
    let backbone = Network::new("resnet8_cifar10", &config, 0).unwrap();
    let config = ModelConfig {
        num_classes: Some(10),
        ..config.with_arg("width", FEATURES as f64)
    };
    Network::over(*find("bottleneck").unwrap(), &backbone, &config, 0).unwrap()
}

/// One that has learnt from the source for a moment, and is sure of what it says: methods that look
/// at sure predictions find some.
pub(crate) fn learnt() -> Network {
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let config = AdaptationConfig {
            updates: Some(20),
            learning_rate: 0.05,
            ..config(AdaptationMethod::SourceOnly)
        };
        let mut run = over(fresh(), config, target());
        run.run(directory.path()).unwrap();
        directory
    });
    let network = load(directory.path(), "best");
    let weight = network.store().get("head.weight").unwrap();
    let weight = (weight.detach() * 25.).unwrap();
    network.store().set("head.weight", &weight).unwrap();
    network
}

/// A network that a run left.
pub(crate) fn load(directory: &Path, which: &str) -> Network {
    Network::load(&directory.join(which), &LoadOptions::default()).unwrap()
}

pub(crate) fn config(method: AdaptationMethod) -> AdaptationConfig {
    AdaptationConfig {
        method,
        epochs: 2,
        updates: Some(3),
        batch_size: BATCH,
        ..AdaptationConfig::default()
    }
}

/// A run of a network with the source beside it.
pub(crate) fn over<'a>(
    network: Network,
    config: AdaptationConfig,
    target: Arc<dyn Dataset>,
) -> Adaptation<'a> {
    let target = Unlabelled::new(target);
    Adaptation::new(network, source(), source_validation(), target, config).unwrap()
}

/// The same of a network that has learnt, with which any method may begin.
pub(crate) fn adaptation<'a>(config: AdaptationConfig, target: Arc<dyn Dataset>) -> Adaptation<'a> {
    over(learnt(), config, target)
}

/// What is left of a run but the time that it took.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    files: BTreeMap<String, Vec<u8>>,
    pub(crate) predicted: Vec<Vec<Option<u32>>>,
    best_epoch: usize,
}

impl Outcome {
    /// Of a run that came to its end in this directory.
    pub(crate) fn of(summary: &AdaptationSummary, directory: &Path) -> Self {
        assert!(!summary.train.interrupted);
        let networks = ["best", "last"].into_iter().flat_map(|which| {
            let files = std::fs::read_dir(directory.join(which)).unwrap();
            files.map(move |file| format!("{which}/{}", file.unwrap().file_name().display()))
        });
        let networks = networks.map(|name| {
            let bytes = std::fs::read(directory.join(&name)).unwrap();
            (name, bytes)
        });
        let mut files: BTreeMap<String, Vec<u8>> = networks.collect();
        let epochs = std::fs::read_to_string(directory.join("metrics.csv")).unwrap();
        files.insert("metrics.csv".to_string(), without_seconds(&epochs).into());
        assert!(files.contains_key("best/model.safetensors"));
        assert!(files.contains_key("last/model.safetensors"));
        Self {
            files,
            predicted: summary.predicted.clone(),
            best_epoch: summary.train.best.as_ref().unwrap().epoch,
        }
    }

    /// What of another run is different, by name.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let names = self.files.keys().chain(other.files.keys());
        let differ = |name: &&String| self.files.get(*name) != other.files.get(*name);
        let mut found: Vec<String> = names.filter(differ).cloned().collect();
        found.sort();
        found.dedup();
        if self.predicted != other.predicted {
            found.push("predictions".to_string());
        }
        if self.best_epoch != other.best_epoch {
            found.push("best epoch".to_string());
        }
        found
    }
}

/// The rows of a CSV without their last column, which is a time.
fn without_seconds(text: &str) -> String {
    assert!(text.lines().next().unwrap().ends_with(",seconds"), "{text}");
    let rows = text.lines().map(|row| row.rsplit_once(',').unwrap().0);
    rows.collect::<Vec<_>>().join("\n")
}

/// A whole run in a directory of its own.
pub(crate) fn outcome(mut run: Adaptation<'_>) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let summary = run.run(directory.path()).unwrap();
    Outcome::of(&summary, directory.path())
}

/// The images of a dataset with other labels: each class is the next one, the names of classes are
/// turned around, and images lie in the folders of their new classes.
pub(crate) struct Relabelled {
    images: Arc<dyn Dataset>,
    classes: Vec<String>,
}

impl Relabelled {
    pub(crate) fn new(images: Arc<dyn Dataset>) -> Self {
        let classes = images.classes().iter().rev().cloned().collect();
        Self {
            classes,
            ..Self::keeping_names(images)
        }
    }

    /// The same where classes keep their names.
    pub(crate) fn keeping_names(images: Arc<dyn Dataset>) -> Self {
        let classes = images.classes().to_vec();
        let relabelled = Self { images, classes };
        let labels = |images: &dyn Dataset| -> Vec<Option<usize>> {
            (0..images.len()).map(|image| images.label(image)).collect()
        };
        let [own, others] = [labels(relabelled.images.as_ref()), labels(&relabelled)];
        assert!(own.iter().zip(&others).all(|(own, other)| own != other));
        relabelled
    }
}

impl Dataset for Relabelled {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> String {
        format!("{:?}/{index}", self.label(index))
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some((self.images.label(index)? + 1) % self.classes.len())
    }

    fn content(&self, index: usize) -> Result<Content, cnn_data::Error> {
        self.images.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, cnn_data::Error> {
        let sample = self.images.read(index)?;
        Ok(Sample::new(sample.image, self.label(index)))
    }
}
