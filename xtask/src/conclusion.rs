//! The end of a run: `summary.json`, `report.html`, and what is printed.

use std::path::Path;

use anyhow::{Context as _, Result};
use cnn_core::{hex, write_atomic};
use cnn_data::Skipped;
use cnn_layers::Kind;
use cnn_models::{LoadOptions, Network};
use cnn_train::TrainSummary;
use cnn_transfer::{FreezeProof, GroupRate, Phase, PhaseSummary};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::inference::Measured;
use crate::training::Data;
use crate::{inference, next_steps, output, predictions, report};

const SUMMARY: &str = "summary.json";

/// A finished run.
pub(crate) struct Run<'a> {
    pub(crate) directory: &'a Path,
    /// The command that made it.
    pub(crate) command: &'static str,
    /// What `--data` said.
    pub(crate) data_name: &'a str,
    pub(crate) data: &'a Data,
    pub(crate) batch: usize,
    pub(crate) summary: &'a TrainSummary,
    pub(crate) skipped: Vec<Skipped>,
    /// What fine-tuning has beyond training from scratch.
    pub(crate) tuning: Option<Tuning<'a>>,
}

/// What was frozen and what was trained.
pub(crate) struct Tuning<'a> {
    /// The network as the run began with it.
    pub(crate) source: Network,
    pub(crate) plan: &'a [Phase],
    pub(crate) phases: &'a [PhaseSummary],
    pub(crate) proof: FreezeProof,
    /// Whether running statistics stayed in layers that were trained.
    pub(crate) statistics_frozen: bool,
    pub(crate) feature_seconds: f64,
}

/// The best epoch, measured on images that had no part in choosing it where there are such.
pub(crate) struct Verdict {
    /// `test` or `val`.
    pub(crate) split: &'static str,
    pub(crate) network: Network,
    pub(crate) measured: Measured,
    pub(crate) seconds: f64,
}

impl Tuning<'_> {
    fn is_trained(&self, name: &str) -> bool {
        let trains = |rate: &GroupRate| rate.learning_rate.is_some() && rate.group.contains(name);
        self.plan.iter().flat_map(|phase| &phase.groups).any(trains)
    }

    /// What no phase trained, in words; empty where that is nothing.
    pub(crate) fn kept(&self) -> String {
        let entries = self.source.store().entries();
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
        let norms = entries
            .iter()
            .filter(|entry| entry.name.ends_with(".running_mean") && self.is_trained(&entry.name));
        let norms = norms.count();
        if self.statistics_frozen && norms > 0 {
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
        let entries = self.source.store().entries();
        let parameters = entries.iter().filter(|entry| entry.kind == Kind::Parameter);
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
        self.skipped = skipped_before.unwrap_or(self.skipped);
        let verdict = self.verdict()?;
        let summary = self.summary_json(&verdict)?;
        let text = serde_json::to_string_pretty(&summary)? + "\n";
        write_atomic(&self.directory.join(SUMMARY), |file| {
            file.write_all(text.as_bytes())
        })?;
        let dataset = self.data.test.as_ref().unwrap_or(&self.data.val).as_ref();
        let part = verdict.split;
        let path = self.directory.join(predictions::NAME);
        let names = inference::class_names(&verdict.network);
        predictions::write(&path, &verdict.measured, dataset, |_| part, &names)?;
        // The report of a run that had already ended says more of it than this sitting knows.
        if !ended_before || !self.directory.join(report::NAME).exists() {
            report::write(&self, &verdict)?;
        }
        inference::print_skipped(&self.skipped);
        if json {
            output::json(&summary)
        } else {
            self.print(&summary, verdict.split)
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

    fn verdict(&self) -> Result<Verdict> {
        let network = Network::load(&self.directory.join("best"), &LoadOptions::default())?;
        let (split, dataset) = match &self.data.test {
            Some(test) => ("test", test),
            None => ("val", &self.data.val),
        };
        let start = std::time::Instant::now();
        let measured = inference::measure(&network, dataset, self.batch)?;
        Ok(Verdict {
            split,
            network,
            measured,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn summary_json(&self, verdict: &Verdict) -> Result<Value> {
        let best = self
            .summary
            .best
            .as_ref()
            .context("no epoch was completed")?;
        let proof = self.tuning.as_ref().map(|tuning| &tuning.proof);
        let frozen = match proof {
            Some(proof) => {
                json!({"tensors": proof.tensors, "unchanged": proof.unchanged, "changed": proof.changed})
            }
            None => json!({"tensors": 0, "unchanged": 0}),
        };
        let result = &verdict.measured.result;
        let interval = verdict.measured.top1_interval()?;
        let mut summary = json!({
            "run_dir": self.directory,
            "epochs": self.summary.epochs,
            "best": {"epoch": best.epoch, "val_top1": best.metrics.get("top1"), "val_loss": best.metrics.get("loss")},
            "weights_sha256": sha256(&self.directory.join("last/model.safetensors"))?,
            "frozen": frozen,
            "seconds": self.summary.seconds,
            "images_per_second": self.images_per_second()?,
            "skipped": self.skipped,
        });
        if let Some(tuning) = &self.tuning {
            summary["phases"] = json!(tuning.phases);
        }
        summary[verdict.split] = json!({
            "samples": result.samples, "loss": result.loss, "top1": result.top1, "top5": result.top5,
            "top1_interval": [interval.low, interval.high],
        });
        Ok(summary)
    }

    /// Training images that went through the network, forward and backward, per second of the
    /// epochs that did so, their validation included. Where the head alone was trained, on features
    /// that were made once, no image did: then it is features per second, as `phases` and the
    /// report say.
    pub(crate) fn images_per_second(&self) -> Result<f64> {
        Ok(report::training_speed(self)?.per_second)
    }

    fn print(&self, summary: &Value, split: &str) -> Result<()> {
        let share = |value: &Value| 100. * value.as_f64().unwrap_or(0.);
        let best = &summary["best"];
        let verdict = &summary[split];
        println!(
            "best epoch {}: top-1 {:.2} % of the validation images",
            best["epoch"],
            share(&best["val_top1"])
        );
        println!(
            "{split}: top-1 {:.2} % (95 % interval {:.2} to {:.2}) of {} images",
            share(&verdict["top1"]),
            share(&verdict["top1_interval"][0]),
            share(&verdict["top1_interval"][1]),
            verdict["samples"]
        );
        if let Some(tuning) = &self.tuning {
            println!("{}", tuning.said());
        }
        println!(
            "sha256 of last/model.safetensors: {}",
            summary["weights_sha256"].as_str().unwrap_or_default()
        );
        println!("report: {}", self.directory.join(report::NAME).display());
        next_steps::print(&next_steps::after_run(self.directory));
        Ok(())
    }
}

/// SHA-256 of a file in hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex(&Sha256::digest(&bytes)))
}
