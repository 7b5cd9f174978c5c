//! The runs: the source alone, each method, and what labels of the target would have given.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use cnn_data::{Dataset, Skipped};
use cnn_metrics::Interval;
use cnn_models::{LoadOptions, Network};
use cnn_transfer::adapt::{Adaptation, AdaptationConfig, AdaptationMethod, Beginning, Unlabelled};
use cnn_transfer::{Judged, Measured};

use super::data::DomainData;
use super::{Adapt, COMMAND};
use crate::conclusion::sha256;
use crate::inference;
use crate::training::{explained, interrupt_flag, interrupted};
use crate::watcher::Watcher;

/// The folder of the run that learns from the target's labels.
const ORACLE: &str = "oracle";

/// What came of all runs.
pub(super) struct Outcomes {
    /// The source alone first; each method with a run for each seed.
    pub(super) methods: Vec<MethodOutcome>,
    /// Of the target's own labels.
    pub(super) oracle: Option<MethodOutcome>,
    pub(super) skipped: Vec<Skipped>,
}

/// What came of a method.
pub(super) struct MethodOutcome {
    pub(super) name: String,
    pub(super) runs: Vec<RunOutcome>,
}

/// What came of a run.
pub(super) struct RunOutcome {
    /// Its folder in the run directory.
    pub(super) folder: String,
    pub(super) seed: u64,
    /// The epoch that was chosen without labels of the target.
    pub(super) epoch: usize,
    /// On the labelled images of the target; `None` where there are none.
    pub(super) measured: Option<Box<Measured>>,
    /// Of the chosen epoch's weights.
    pub(super) sha256: String,
    pub(super) seconds: f64,
    /// All epochs, the first one first.
    pub(super) epochs: Vec<EpochOutcome>,
}

/// What came of an epoch.
pub(super) struct EpochOutcome {
    /// Counted from 1.
    pub(super) epoch: usize,
    /// What its evaluation logged, the validators among it.
    pub(super) metrics: Vec<(String, f64)>,
    /// On the labelled images of the target; `None` where there are none.
    pub(super) target_top1: Option<f64>,
}

impl MethodOutcome {
    /// The accuracy of each run.
    fn accuracies(&self) -> Vec<f64> {
        let measured = self.runs.iter().filter_map(|run| run.measured.as_ref());
        measured.map(|measured| measured.result.top1).collect()
    }

    /// The mean accuracy on the target; `None` where it has no labels.
    pub(super) fn mean(&self) -> Option<f64> {
        let accuracies = self.accuracies();
        (!accuracies.is_empty()).then(|| accuracies.iter().sum::<f64>() / accuracies.len() as f64)
    }

    /// The standard deviation over the seeds; `None` for fewer than two.
    pub(super) fn spread(&self) -> Option<f64> {
        let accuracies = self.accuracies();
        let mean = self.mean().filter(|_| accuracies.len() > 1)?;
        let squares: f64 = accuracies.iter().map(|top1| (top1 - mean).powi(2)).sum();
        Some((squares / (accuracies.len() - 1) as f64).sqrt())
    }

    /// The interval of a single run's accuracy.
    pub(super) fn interval(&self) -> Result<Option<Interval>> {
        let [run] = &self.runs[..] else {
            return Ok(None);
        };
        let measured = run.measured.as_ref();
        Ok(measured
            .map(|measured| measured.top1_interval())
            .transpose()?)
    }
}

impl Outcomes {
    /// Runs everything in a directory, or goes on where it stands.
    pub(super) fn of(command: &Adapt, data: &DomainData, directory: &Path) -> Result<Self> {
        let mut runner = Runner {
            command,
            data,
            directory,
            interrupt: interrupt_flag()?,
            skipped: Vec::new(),
        };
        let methods = command.methods()?.into_iter();
        let methods = methods
            .map(|method| runner.all_seeds(method.info().name, method, &data.source, &data.target));
        let methods = methods.collect::<Result<_>>()?;
        let oracle = data.labelled_target.as_ref().map(|labelled| {
            runner.all_seeds(ORACLE, AdaptationMethod::SourceOnly, labelled, &data.target)
        });
        Ok(Self {
            methods,
            oracle: oracle.transpose()?,
            skipped: runner.skipped,
        })
    }
}

/// What the runs have in common.
struct Runner<'a> {
    command: &'a Adapt,
    data: &'a DomainData,
    directory: &'a Path,
    interrupt: Arc<AtomicBool>,
    skipped: Vec<Skipped>,
}

impl Runner<'_> {
    fn all_seeds(
        &mut self,
        name: &str,
        method: AdaptationMethod,
        source: &Arc<dyn Dataset>,
        target: &Unlabelled,
    ) -> Result<MethodOutcome> {
        let mut runs = Vec::new();
        for number in 0..u64::from(self.command.seeds) {
            let config = self
                .command
                .adaptation(method, self.command.seed + number)?;
            let folder = self.folder(name, config.seed);
            runs.push(self.one(folder, config, source, target)?);
        }
        Ok(MethodOutcome {
            name: name.to_string(),
            runs,
        })
    }

    /// Where a method's run with that seed is, in the run directory.
    fn folder(&self, name: &str, seed: u64) -> String {
        match self.command.seeds {
            1 => name.to_string(),
            _ => format!("{name}-{seed}"),
        }
    }

    fn one(
        &mut self,
        folder: String,
        config: AdaptationConfig,
        source: &Arc<dyn Dataset>,
        target: &Unlabelled,
    ) -> Result<RunOutcome> {
        let directory = self.directory.join(&folder);
        let seed = config.seed;
        let images = config.batch_size * config.epochs;
        let network = match config.method.info().beginning {
            Beginning::Any => self.command.network(self.data, seed)?,
            Beginning::LearntWithSource | Beginning::Learnt => {
                let alone = AdaptationMethod::SourceOnly.info().name;
                let learnt = self.directory.join(self.folder(alone, seed)).join("best");
                Network::load(&learnt, &LoadOptions::default())?
            }
        };
        let validation = self.data.source_validation.clone();
        eprintln!("{folder}: in {}", directory.display());
        let mut watcher = Watcher::new(None, None);
        let adaptation =
            Adaptation::new(network, source.clone(), validation, target.clone(), config)?;
        watcher.begin(images * adaptation.updates());
        let adaptation = match &self.data.test {
            Some(test) => adaptation.with_test_images(Unlabelled::new(test.clone()))?,
            None => adaptation,
        };
        let mut adaptation = adaptation
            .with_interrupt(self.interrupt.clone())
            .with_listener(|notice| watcher.show(notice));
        let summary = adaptation
            .run(&directory)
            .map_err(|error| explained(error.into(), &directory))?;
        drop(adaptation);
        watcher.finish();
        if summary.train.interrupted {
            return Err(interrupted(COMMAND, summary.train.epochs, self.directory));
        }
        self.skipped.extend(summary.skipped);
        let best = directory.join("best");
        let measured = match &self.data.test {
            Some(test) => {
                let network = Network::load(&best, &LoadOptions::default())?;
                let batch = self.command.batch as usize;
                let measured = inference::measure(&network, test, batch)?;
                Some(Box::new(measured))
            }
            None => None,
        };
        let epochs = epochs(&directory, &summary.predicted, measured.as_deref())?;
        Ok(RunOutcome {
            folder,
            seed,
            epoch: summary.train.best.map_or(0, |best| best.epoch),
            measured,
            sha256: sha256(&best.join("model.safetensors"))?,
            seconds: summary.train.seconds,
            epochs,
        })
    }
}

/// The epochs of a run, with the accuracies that the test images' labels give them.
fn epochs(
    directory: &Path,
    predicted: &[Vec<Option<u32>>],
    measured: Option<&Measured>,
) -> Result<Vec<EpochOutcome>> {
    let mut epochs = Vec::new();
    for (row, number) in logged(directory)?.into_iter().zip(0..) {
        let metrics = row.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("val_")?;
            Some((name.to_string(), *value))
        });
        let classes = predicted.get(number);
        epochs.push(EpochOutcome {
            epoch: number + 1,
            metrics: metrics.collect(),
            target_top1: classes
                .zip(measured)
                .map(|(classes, measured)| accuracy(classes, measured)),
        });
    }
    Ok(epochs)
}

/// The rows of a run's `metrics.csv`, one for each epoch, by the names of the columns.
pub(super) fn logged(directory: &Path) -> Result<Vec<BTreeMap<String, f64>>> {
    let path = directory.join("metrics.csv");
    let cannot_read = || format!("cannot read {}", path.display());
    let mut reader = csv::Reader::from_path(&path).with_context(cannot_read)?;
    let rows = reader.deserialize().collect::<Result<_, _>>();
    rows.with_context(cannot_read)
}

/// The share of the measured images that have these classes.
fn accuracy(predicted: &[Option<u32>], measured: &Measured) -> f64 {
    let is_right = |judged: &&Judged| predicted[judged.index] == Some(judged.label as u32);
    let right = measured.judged.iter().filter(is_right).count();
    right as f64 / measured.judged.len() as f64
}
