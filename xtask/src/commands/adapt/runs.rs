//! The runs: the source alone, each method, and what labels of the target would have given.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use cnn_data::Skipped;
use cnn_metrics::Interval;
use cnn_models::{LoadOptions, Network};
use cnn_transfer::adapt::{
    Adaptation, AdaptationMethod, Beginning, Unlabelled, Validator, strong_augmentation,
};
use cnn_transfer::{Judged, Measured};

use super::data::DomainData;
use super::part::LabelledImages;
use super::{Adapt, COMMAND};
use crate::conclusion::sha256;
use crate::inference;
use crate::training::{explained, interrupt_flag, interrupted};
use crate::watcher::Watcher;

/// The folder of the run that learns from the target's labels.
const ORACLE: &str = "oracle";
/// Of the network that is adapted without a source.
pub(super) const GIVEN: &str = "given";
/// Of the run that learns from the few known labels of the target alone.
const FEW: &str = "few-labels";
/// Of the run that learns from the source and these.
const BOTH: &str = "source+labels";

/// What came of all runs.
pub(super) struct Outcomes {
    /// The source alone first, or the network as it was given; where a few labels of the target are
    /// known, these alone and beside the source; then each method. Each with a run for each seed.
    pub(super) methods: Vec<MethodOutcome>,
    /// The place of the method that was asked for, or of several the first.
    pub(super) adapted: usize,
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
    /// The network's classes.
    pub(super) classes: Vec<String>,
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
    /// Runs everything in a directory, or goes on where it stands. `given` is the network of a run
    /// without a source.
    pub(super) fn of(
        command: &Adapt,
        data: &DomainData,
        given: Option<&Network>,
        directory: &Path,
    ) -> Result<Self> {
        let mut runner = Runner {
            command,
            data,
            directory,
            interrupt: interrupt_flag()?,
            skipped: Vec::new(),
        };
        let asked = command.methods()?;
        let baselines = match (&data.source, given) {
            (Some(source), _) => runner.baselines(source)?,
            (None, Some(network)) => vec![runner.given(network)?],
            (None, None) => Vec::new(),
        };
        let alone = AdaptationMethod::SourceOnly;
        let learnt = data.source.as_ref().map(|source| data.with_few(source));
        let learnt = learnt.transpose()?;
        let begin = baselines.last().map(|outcome| outcome.name.clone());
        let method = |method: AdaptationMethod| Planned {
            name: method.info().name,
            method,
            source: learnt.as_ref(),
            begin: begin.as_deref(),
            validator: None,
        };
        let adapted = baselines.len();
        let mut methods = baselines;
        for asked in asked.into_iter().filter(|asked| *asked != alone) {
            methods.push(runner.all_seeds(&method(asked))?);
        }
        let oracle = data.oracle.as_ref().map(|labelled| {
            runner.all_seeds(&Planned {
                source: Some(labelled),
                validator: Some(Validator::Source),
                ..Planned::baseline(ORACLE)
            })
        });
        Ok(Self {
            adapted: adapted.min(methods.len() - 1),
            methods,
            oracle: oracle.transpose()?,
            skipped: runner.skipped,
        })
    }

    /// The method that was asked for, or of several the first.
    pub(super) fn adapted(&self) -> &MethodOutcome {
        &self.methods[self.adapted]
    }

    /// What is right on the target without any method; `None` where it has no labels.
    pub(super) fn mean_alone(&self) -> Option<f64> {
        self.methods[0].mean()
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

/// A method's runs, one for each seed.
struct Planned<'a> {
    /// Of their folders.
    name: &'a str,
    method: AdaptationMethod,
    source: Option<&'a LabelledImages>,
    /// The runs that gave the network to begin with, for methods that begin with one that has
    /// learnt.
    begin: Option<&'a str>,
    /// What chooses the epoch, in place of what the command line says.
    validator: Option<Validator>,
}

impl<'a> Planned<'a> {
    /// Of labels alone.
    fn baseline(name: &'a str) -> Self {
        Self {
            name,
            method: AdaptationMethod::SourceOnly,
            source: None,
            begin: None,
            validator: None,
        }
    }
}

impl Runner<'_> {
    /// The source alone; where a few labels of the target are known, these alone, and both.
    fn baselines(&mut self, source: &LabelledImages) -> Result<Vec<MethodOutcome>> {
        let alone = AdaptationMethod::SourceOnly.info().name;
        let run = |runner: &mut Self, name: &str, source: &LabelledImages| {
            runner.all_seeds(&Planned {
                source: Some(source),
                ..Planned::baseline(name)
            })
        };
        let mut baselines = vec![run(self, alone, source)?];
        if let Some(few) = &self.data.few {
            let labels = LabelledImages {
                train: Arc::new(few.repeated(self.command.batch as usize)?),
                ..source.clone()
            };
            baselines.push(run(self, FEW, &labels.of_present_classes()?)?);
            baselines.push(run(self, BOTH, &self.data.with_few(source)?)?);
        }
        Ok(baselines)
    }

    /// The network as it was given, saved as a run would have.
    fn given(&self, network: &Network) -> Result<MethodOutcome> {
        let best = self.directory.join(GIVEN).join("best");
        if !best.join("model.safetensors").exists() {
            network.save(&best)?;
        }
        Ok(MethodOutcome {
            name: GIVEN.to_string(),
            runs: vec![RunOutcome {
                folder: GIVEN.to_string(),
                seed: self.command.seed,
                epoch: 0,
                measured: self.measured(&best)?,
                classes: self.data.classes.clone(),
                sha256: sha256(&best.join("model.safetensors"))?,
                seconds: 0.,
                epochs: Vec::new(),
            }],
        })
    }

    fn all_seeds(&mut self, planned: &Planned<'_>) -> Result<MethodOutcome> {
        let mut runs = Vec::new();
        for number in 0..u64::from(self.command.seeds) {
            let seed = self.command.seed + number;
            runs.push(self.one(planned, seed)?);
        }
        Ok(MethodOutcome {
            name: planned.name.to_string(),
            runs,
        })
    }

    /// Where a method's run with that seed is, in the run directory.
    fn folder(&self, name: &str, seed: u64) -> String {
        if name == GIVEN || self.command.seeds == 1 {
            return name.to_string();
        }
        format!("{name}-{seed}")
    }

    fn one(&mut self, planned: &Planned<'_>, seed: u64) -> Result<RunOutcome> {
        let folder = self.folder(planned.name, seed);
        let directory = self.directory.join(&folder);
        eprintln!("{folder}: in {}", directory.display());
        let mut watcher = Watcher::new(None, None);
        let adaptation = self.adaptation(planned, seed)?;
        let images = self.command.batch as usize * adaptation.updates();
        watcher.begin(images * adaptation.epochs());
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
            let whole = self.command.all_pairs.as_deref();
            let resume = whole.unwrap_or(self.directory);
            return Err(interrupted(COMMAND, summary.train.epochs, resume));
        }
        self.skipped.extend(summary.skipped);
        let best = directory.join("best");
        let measured = self.measured(&best)?;
        let epochs = epochs(&directory, &summary.predicted, measured.as_deref())?;
        Ok(RunOutcome {
            folder,
            seed,
            epoch: summary.train.best.map_or(0, |best| best.epoch),
            measured,
            classes: self.classes(planned).to_vec(),
            sha256: sha256(&best.join("model.safetensors"))?,
            seconds: summary.train.seconds,
            epochs,
        })
    }

    /// The classes that are learnt.
    fn classes<'b>(&'b self, planned: &Planned<'b>) -> &'b [String] {
        let own = planned.source.map(|source| source.train.classes());
        own.unwrap_or(&self.data.classes)
    }

    fn adaptation(&self, planned: &Planned<'_>, seed: u64) -> Result<Adaptation<'static>> {
        let mut config = self.command.adaptation(planned.method, seed)?;
        config.validator = planned.validator.unwrap_or(config.validator);
        let network = match (planned.method.info().beginning, planned.begin) {
            (Beginning::LearntWithSource | Beginning::Learnt, Some(begin)) => {
                let learnt = self.directory.join(self.folder(begin, seed)).join("best");
                Network::load(&learnt, &LoadOptions::default())?
            }
            _ => self.command.network(self.classes(planned), seed)?,
        };
        let both = self.command.augmentation(network.preprocessing())?;
        let target = self.data.target.clone();
        let adaptation = match planned.source {
            Some(LabelledImages { train, validation }) => {
                let validation = validation.clone();
                Adaptation::new(network, train.clone(), validation, target, config)?
            }
            None => Adaptation::without_source(network, target, config)?,
        };
        Ok(match both {
            Some(both) => {
                let stronger = both.clone().then(strong_augmentation()?);
                adaptation.with_augmentation(both, stronger)
            }
            None => adaptation,
        })
    }

    /// How often the network in a directory is right on the target; `None` without labels.
    fn measured(&self, best: &Path) -> Result<Option<Box<Measured>>> {
        let Some(test) = &self.data.test else {
            return Ok(None);
        };
        let network = Network::load(best, &LoadOptions::default())?;
        let measured = inference::measure(&network, test, self.command.batch as usize)?;
        Ok(Some(Box::new(measured)))
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
