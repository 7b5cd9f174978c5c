//! The end of a run: `summary.json`, `report.html`, and what is printed.

use std::path::Path;

use anyhow::{Context as _, Result};
use cnn_core::{hex, write_atomic};
use cnn_data::{Skipped, Split};
use cnn_layers::{Store, TensorKind};
use cnn_models::{Kind, LoadOptions};
use cnn_train::{Best, TrainSummary, TrainingData};
use cnn_transfer::{BestEpoch, FreezeProof, GroupRate, Phase, PhaseSummary};
use cnn_viz::{Fact, Report};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::adversarial::BestUnderAttack;
use crate::commands::attack::Attacked;
use crate::detection::BestDetection;
use crate::segmentation::BestSegmentation;
use crate::{inference, next_steps, output, predictions, report};

const SUMMARY: &str = "summary.json";

/// A finished run.
pub(crate) struct Run<'a> {
    /// What its network is for.
    pub(crate) kind: Kind,
    pub(crate) directory: &'a Path,
    /// The command that made it.
    pub(crate) command: &'static str,
    /// What `--data` said.
    pub(crate) data_name: &'a str,
    pub(crate) data: &'a TrainingData,
    pub(crate) batch: usize,
    pub(crate) summary: &'a TrainSummary,
    pub(crate) skipped: Vec<Skipped>,
    /// The attacks on the best epoch that were asked for.
    pub(crate) attack: Option<BestUnderAttack>,
    /// What fine-tuning has beyond training from scratch.
    pub(crate) tuning: Option<Tuning<'a>>,
}

/// What was frozen and what was trained.
pub(crate) struct Tuning<'a> {
    /// The weights that the run began with, and their file.
    pub(crate) source: &'a Store,
    pub(crate) weights_file: Option<&'a Path>,
    pub(crate) plan: &'a [Phase],
    pub(crate) phases: &'a [PhaseSummary],
    pub(crate) proof: FreezeProof,
    pub(crate) feature_seconds: f64,
}

/// The best epoch of a run, measured on images that had no part in choosing it where there are such.
/// What is said of it depends on what the network is for.
pub(crate) trait MeasuredEpoch {
    /// What it was measured on.
    fn part(&self) -> Split;

    /// How many images that were.
    fn samples(&self) -> u64;

    /// Seconds that measuring took.
    fn seconds(&self) -> f64;

    /// The network's name and its parameters.
    fn network(&self) -> (&'static str, usize);

    /// What whoever reads the figures has to know.
    fn notes(&self) -> &[String];

    /// The figures for programs.
    fn figures(&self, run: &Run<'_>) -> Result<Value>;

    /// The figures in a line.
    fn said(&self) -> Result<String>;

    /// The figures at the head of a report.
    fn facts(&self, run: &Run<'_>) -> Result<Vec<Fact>>;

    /// Writes a row for each image.
    fn write_predictions(&self, run: &Run<'_>, path: &Path) -> Result<()>;

    /// Adds classes and pictures to a report.
    fn show(&self, run: &Run<'_>, report: &mut Report) -> Result<()>;

    /// What attacks leave of it; `None` where the network is none that can be attacked.
    fn attack(&self, _: &Run<'_>, _: &BestUnderAttack) -> Result<Option<Attacked>> {
        Ok(None)
    }

    /// Files that it is most wrong about, the worst first.
    fn mistakes(&self, run: &Run<'_>) -> Vec<String>;
}

impl Tuning<'_> {
    fn is_trained(&self, name: &str) -> bool {
        self.plan.iter().any(|phase| phase.trains(name))
    }

    /// What no phase trained, in words; empty where that is nothing.
    pub(crate) fn kept(&self) -> String {
        let entries = self.source.entries();
        let groups = self.plan.last().map_or(&[][..], |phase| &phase.groups);
        let is_kept = |rate: &&GroupRate| {
            !entries
                .iter()
                .any(|entry| rate.group.contains(&entry.name) && self.is_trained(&entry.name))
        };
        let mut kept: Vec<String> = groups
            .iter()
            .filter(is_kept)
            .map(|rate| rate.group.name.clone())
            .collect();
        let is_norm_kept = |name: &str| {
            let mut phases = self.plan.iter();
            name.ends_with(".running_mean") && phases.all(|phase| phase.keeps_statistics(name))
        };
        let norms = entries
            .iter()
            .filter(|entry| self.is_trained(&entry.name) && is_norm_kept(&entry.name));
        let norms = norms.count();
        if norms > 0 {
            let of = if kept.is_empty() {
                ""
            } else {
                " in the others"
            };
            kept.push(format!("running statistics of {norms} norms{of}"));
        }
        kept.join(", ")
    }

    /// What was trained and what was kept, and whether the saved file shows it.
    fn said(&self) -> String {
        let entries = self.source.entries();
        let parameters = entries
            .iter()
            .filter(|entry| entry.kind == TensorKind::Parameter);
        let trained = parameters
            .clone()
            .filter(|entry| self.is_trained(&entry.name))
            .count();
        let all = parameters.count();
        let FreezeProof {
            tensors,
            unchanged,
            changed,
        } = &self.proof;
        let proof = match changed.first() {
            None => "unchanged in the saved file".to_string(),
            Some(first) => format!(
                "but {} are others in the saved file, as {first}",
                tensors - unchanged
            ),
        };
        let trained = if trained == all {
            format!("all {all}")
        } else {
            format!("{trained} of {all}")
        };
        let trained = format!("trained: {trained} parameter tensors");
        let kept = self.kept();
        if kept.is_empty() {
            trained
        } else {
            format!("{trained}; kept: {kept} ({tensors} tensors), {proof}")
        }
    }
}

impl Run<'_> {
    /// Measures the best epoch, writes `summary.json` and `report.html`, and prints the summary as
    /// JSON or for people.
    pub(crate) fn conclude(mut self, json: bool) -> Result<()> {
        let skipped_before = self.skipped_before();
        let ended_before = skipped_before.is_some();
        if ended_before {
            eprintln!("the run had ended: nothing is trained, and its weights are as they were");
        }
        self.skipped = skipped_before.unwrap_or(self.skipped);
        let best = self.best_epoch()?;
        let best = best.as_ref();
        inference::print_notes(best.notes());
        let attacked = match &self.attack {
            Some(attack) => best.attack(&self, attack)?,
            None => None,
        };
        let mut summary = self.summary_json(best)?;
        if let Some(attacked) = &attacked {
            summary["robustness"] = attacked.summary.clone();
        }
        let text = serde_json::to_string_pretty(&summary)? + "\n";
        write_atomic(&self.directory.join(SUMMARY), |file| {
            file.write_all(text.as_bytes())
        })?;
        best.write_predictions(&self, &self.directory.join(predictions::NAME))?;
        // The report of a run that had already ended says more of it than this sitting knows.
        if !ended_before || !self.directory.join(report::NAME).exists() {
            report::write(&self, best, attacked.as_ref())?;
        }
        inference::print_skipped(&self.skipped);
        if json {
            output::json(&summary)
        } else {
            self.print(&summary, best, attacked.as_ref())
        }
    }

    /// What a run that had already ended skipped, as its summary says; `None` for a run that ends
    /// now. Going on with the former reads no training image.
    fn skipped_before(&self) -> Option<Vec<Skipped>> {
        let mut summary: Value =
            serde_json::from_slice(&std::fs::read(self.directory.join(SUMMARY)).ok()?).ok()?;
        let weights = sha256(&self.directory.join("last/model.safetensors")).ok()?;
        (summary["weights_sha256"] == weights)
            .then(|| serde_json::from_value(summary["skipped"].take()).ok())?
    }

    fn best_epoch(&self) -> Result<Box<dyn MeasuredEpoch>> {
        match self.kind {
            Kind::Segmentation => return Ok(Box::new(BestSegmentation::measure(self)?)),
            Kind::Detection => return Ok(Box::new(BestDetection::measure(self)?)),
            _ => {}
        }
        let options = LoadOptions::default();
        let images = self.data.measured_on().images.len();
        let best = inference::with_progress("best epoch", images, |progress| {
            BestEpoch::measure(self.directory, &options, self.data, self.batch, progress)
        })?;
        Ok(Box::new(best))
    }

    /// What the trainer says of the best epoch.
    fn best(&self) -> Result<&Best> {
        let best = self.summary.best.as_ref();
        best.context("no epoch was completed")
    }

    fn summary_json(&self, best: &dyn MeasuredEpoch) -> Result<Value> {
        let proof = self.tuning.as_ref().map(|tuning| &tuning.proof);
        let frozen = match proof {
            Some(proof) => {
                json!({"tensors": proof.tensors, "unchanged": proof.unchanged, "changed": proof.changed})
            }
            None => json!({"tensors": 0, "unchanged": 0}),
        };
        let notes = [self.data.notes(), best.notes()].concat();
        let mut summary = json!({
            "run_dir": self.directory,
            "epochs": self.summary.epochs,
            "best": best_json(self.best()?),
            "weights_sha256": sha256(&self.directory.join("last/model.safetensors"))?,
            "frozen": frozen,
            "seconds": self.summary.seconds,
            "images_per_second": self.images_per_second()?,
            "skipped": self.skipped,
            "notes": notes,
        });
        if let Some(tuning) = &self.tuning {
            summary["phases"] = json!(tuning.phases);
        }
        summary[best.part().name()] = best.figures(self)?;
        Ok(summary)
    }

    /// Training images that went through the network, forward and backward, per second of the
    /// epochs that did so, their validation included. Where the head alone was trained, on features
    /// that were made once, no image did: then it is features per second, as `phases` and the
    /// report say.
    pub(crate) fn images_per_second(&self) -> Result<f64> {
        Ok(report::training_speed(self)?.per_second)
    }

    fn print(
        &self,
        summary: &Value,
        best: &dyn MeasuredEpoch,
        attacked: Option<&Attacked>,
    ) -> Result<()> {
        println!("{}", best_line(self.best()?));
        println!("{}", best.said()?);
        if let Some(attacked) = attacked {
            println!("{}", attacked.said);
        }
        if let Some(tuning) = &self.tuning {
            println!("{}", tuning.said());
        }
        println!(
            "sha256 of last/model.safetensors: {}",
            summary["weights_sha256"].as_str().unwrap_or_default()
        );
        println!("report: {}", self.directory.join(report::NAME).display());
        next_steps::print(&next_steps::after_run(self.kind, self.directory));
        Ok(())
    }
}

/// The best epoch for programs: its score by the name that the task gives it, and its loss where it
/// has one.
fn best_json(best: &Best) -> Value {
    let mut json = json!({"epoch": best.epoch});
    json[format!("val_{}", best.score_name)] = json!(best.score);
    if let Some(loss) = best.metrics.get("loss") {
        json["val_loss"] = json!(loss);
    }
    json
}

/// The best epoch in a line.
fn best_line(best: &Best) -> String {
    let score = match best.score_name.as_str() {
        "top1" => format!("top-1 {:.2} % of", 100. * best.score),
        "top5" => format!("top-5 {:.2} % of", 100. * best.score),
        "miou" => format!("mIoU {:.4} on", best.score),
        "ap" => format!("AP {:.4} on", best.score),
        name => format!("{name} {:.4} on", best.score),
    };
    format!("best epoch {}: {score} the validation images", best.epoch)
}

/// SHA-256 of a file in hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex(&Sha256::digest(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(score_name: &str, score: f64, metrics: &[(&str, f64)]) -> Best {
        let metrics = metrics.iter();
        Best {
            epoch: 3,
            score_name: score_name.to_string(),
            score,
            metrics: metrics
                .map(|(name, value)| (name.to_string(), *value))
                .collect(),
        }
    }

    #[test]
    fn the_best_epoch_of_a_classification_is_told_by_its_accuracy() {
        let metrics = [("loss", 0.5), ("top1", 0.91), ("top5", 1.)];
        let best = best("top1", 0.91, &metrics);
        let json = best_json(&best).to_string();
        assert_eq!(json, r#"{"epoch":3,"val_top1":0.91,"val_loss":0.5}"#);
        let line = best_line(&best);
        assert_eq!(line, "best epoch 3: top-1 91.00 % of the validation images");
    }

    #[test]
    fn any_other_task_names_its_own_score() {
        for (name, shown) in [("miou", "mIoU"), ("map50", "map50")] {
            let best = best(name, 0.7314, &[(name, 0.7314)]);
            let json = best_json(&best).to_string();
            assert_eq!(json, format!(r#"{{"epoch":3,"val_{name}":0.7314}}"#));
            let line = best_line(&best);
            let expected = format!("best epoch 3: {shown} 0.7314 on the validation images");
            assert_eq!(line, expected);
        }
    }
}
