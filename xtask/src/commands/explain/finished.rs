//! What is written and printed at the end.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use candle_core::Tensor;
use cnn_core::write_atomic;
use cnn_data::Skipped;
use cnn_viz::{
    ExplainedOverlay, ExplainedPhoto, Fact, Gallery, Method, Trust, TrustCheck, TrustVerdict,
};
use cnn_weights::save_safetensors;
use serde_json::{Value, json};

use super::SUMMARY;
use super::decides::Decides;
use super::session::Session;
use crate::byline::byline;
use crate::output::{self, quoted};
use crate::{inference, report};

/// What there is of all photos at the end.
#[derive(Default)]
pub(super) struct Finished {
    pub(super) photos: Vec<ExplainedPhoto>,
    pub(super) explanations: Vec<Value>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) raw: Raw,
}

/// Tensors of single photos by name.
#[derive(Default)]
pub(super) struct Raw(BTreeMap<String, Vec<Tensor>>);

impl Raw {
    pub(super) fn add(&mut self, name: String, tensor: Tensor) {
        self.0.entry(name).or_default().push(tensor);
    }

    fn write(&self, path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
        let tensor =
            |(name, parts): (&String, &Vec<Tensor>)| Ok((name.clone(), Tensor::cat(parts, 0)?));
        let tensors = self.0.iter().map(tensor).collect::<Result<Vec<_>>>()?;
        Ok(save_safetensors(path, &tensors, metadata)?)
    }
}

impl Finished {
    /// Writes the page, the summary and the raw maps, and prints the summary as JSON or for people.
    pub(super) fn write<M: Decides + ?Sized>(
        self,
        session: &Session<'_, M>,
        directory: &Path,
    ) -> Result<()> {
        let Self {
            photos,
            explanations,
            skipped,
            raw,
        } = self;
        if let Some(path) = &session.command.raw {
            let paths: Vec<&str> = photos.iter().map(|photo| photo.path.as_str()).collect();
            let metadata = [("paths".to_string(), json!(paths).to_string())].into();
            raw.write(path, &metadata)?;
        }
        let model = session.network.spec().name;
        let summary = json!({
            "model": model,
            "weights": session.command.network.weights(),
            "run_dir": directory,
            "explanations": explanations,
            "skipped": skipped,
        });
        let text = serde_json::to_string_pretty(&summary)? + "\n";
        write_atomic(&directory.join(SUMMARY), |file| {
            file.write_all(text.as_bytes())
        })?;
        let titles = session
            .methods
            .iter()
            .map(|method| method.title())
            .collect::<Vec<_>>()
            .join(", ");
        let methods = match session.methods.len() {
            1 => Fact::new("method", titles),
            count => Fact::new("methods", count.to_string()).with_note(titles),
        };
        let gallery = Gallery {
            title: format!("What {model} sees"),
            summary: vec![
                Fact::new("network", model),
                methods,
                Fact::new("photos", photos.len().to_string()),
            ],
            byline: Some(byline()),
            photos,
            skipped: skipped.clone(),
            command: Some(command_line()),
            ..Gallery::default()
        };
        let html = gallery.to_html()?;
        write_atomic(&directory.join(report::NAME), |file| {
            file.write_all(html.as_bytes())
        })?;
        if session.command.json {
            inference::print_skipped(&skipped);
            return output::json(&summary);
        }
        print(&gallery, &session.methods)?;
        inference::print_skipped(&skipped);
        println!("page: {}", directory.join(report::NAME).display());
        Ok(())
    }
}

/// Two decimals, without a sign where they are 0.
fn number(value: f64) -> String {
    format!("{:.2}", (100. * value).round() / 100. + 0.)
}

/// How the program was called.
fn command_line() -> String {
    let arguments = std::env::args_os()
        .skip(1)
        .map(|argument| quoted(&argument.to_string_lossy()));
    format!(
        "{} {}",
        output::program(),
        arguments.collect::<Vec<_>>().join(" ")
    )
}

fn print(gallery: &Gallery, methods: &[Method]) -> Result<()> {
    let maps = || {
        gallery.photos.iter().flat_map(|photo| {
            photo
                .overlays
                .iter()
                .zip(methods)
                .map(move |map| (photo, map))
        })
    };
    let steps: Vec<&str> = maps()
        .find_map(|(_, (overlay, _))| overlay.trust.as_ref())
        .map_or_else(Vec::new, |trust| {
            trust
                .randomization
                .iter()
                .map(|(name, _)| name.as_str())
                .collect()
        });
    let random: Vec<String> = steps.iter().map(|step| format!("random {step}")).collect();
    let mut columns = vec![("photo", false), ("explained", false), ("method", false)];
    if !steps.is_empty() {
        columns.extend([("insertion", true), ("deletion", true), ("ROAD", true)]);
        columns.extend(random.iter().map(|column| (column.as_str(), true)));
        columns.push(("verdict", false));
    }
    let row = |(photo, (overlay, method)): (&ExplainedPhoto, (&ExplainedOverlay, &Method))| {
        let mut row = vec![
            photo.path.clone(),
            photo.target.clone(),
            method.name().to_string(),
        ];
        if let Some(trust) = &overlay.trust {
            row.extend([trust.insertion_auc, trust.deletion_auc, trust.road].map(number));
            row.extend(
                trust
                    .randomization
                    .iter()
                    .map(|(_, correlation)| number(*correlation)),
            );
            let failed: Vec<_> = failed(overlay)
                .iter()
                .map(|verdict| verdict.check.name())
                .collect();
            row.push(if failed.is_empty() {
                "passes".to_string()
            } else {
                format!("fails {}", failed.join(", "))
            });
        }
        row
    };
    output::table(&columns, &maps().map(row).collect::<Vec<_>>())?;
    if steps.is_empty() {
        return Ok(());
    }
    println!();
    for (photo, (overlay, method)) in maps() {
        for failed in failed(overlay) {
            println!(
                "{}, {}: fails {}: {}",
                photo.path,
                method.name(),
                failed.check.name(),
                failed.finding
            );
        }
    }
    TrustCheck::ALL
        .iter()
        .for_each(|check| println!("{}: {}", check.name(), check.rule()));
    Ok(())
}

/// The checks that a map fails.
fn failed(overlay: &ExplainedOverlay) -> Vec<TrustVerdict> {
    let verdicts = overlay
        .trust
        .as_ref()
        .map_or_else(Vec::new, Trust::verdicts);
    verdicts
        .into_iter()
        .filter(|verdict| !verdict.passed)
        .collect()
}
