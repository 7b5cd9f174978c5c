//! What is written: the page, the summary, and the changed images.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::{DType, Device, Tensor};
use cnn_core::write_atomic;
use cnn_data::Image;
use cnn_robust::attack::AttackBatch;
use cnn_robust::{AttackedBatch, Images};
use cnn_weights::save_safetensors;
use serde::Serialize;
use serde_json::Value;

use super::session::{Found, Session};
use super::{Attack, PAGE, page};
use crate::inference::picture_stem;
use crate::labelled_images::Asked;
use crate::training::save_arguments;

/// What the run directory says of how it was made.
#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(flatten)]
    asked: Asked<'a>,
    attack: String,
    norm: &'a str,
    eps: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restarts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targeted: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    defence: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    detect: Option<&'a str>,
    diagnose: usize,
    sweep: usize,
    smallest: usize,
    pictures: usize,
    batch: u16,
}

pub(super) fn write(
    command: &Attack,
    session: &Session<'_>,
    found: &Found,
    summary: &Value,
    directory: &Path,
) -> Result<()> {
    let options = session.options;
    save_arguments(
        &Arguments {
            asked: command.images.asked(&command.network),
            attack: session.names_of_attacks().join(","),
            norm: options.norm.name(),
            eps: session.settings.threat.eps.to_string(),
            steps: options.steps,
            step_size: options.step_size.map(|size| size.to_string()),
            restarts: options.restarts,
            queries: options.queries,
            targeted: options.targeted.as_deref(),
            defence: &options.defence,
            detect: options.detect.as_deref(),
            diagnose: options.diagnose,
            sweep: options.sweep,
            smallest: options.smallest,
            pictures: options.pictures,
            batch: options.batch,
        },
        directory,
    )?;
    let json = serde_json::to_string_pretty(summary)? + "\n";
    write_atomic(&directory.join("summary.json"), |file| {
        file.write_all(json.as_bytes())
    })?;
    let html = page::page(session, found)?.to_html()?;
    write_atomic(&directory.join(PAGE), |file| {
        file.write_all(html.as_bytes())
    })?;
    Ok(())
}

/// Writes changed images batch by batch, so that no more than one batch is in memory.
pub(super) struct Saver<'a> {
    directory: &'a Path,
    batches: usize,
}

impl<'a> Saver<'a> {
    /// Below a directory, which has a folder for each attack.
    pub(super) fn new(directory: &'a Path) -> Self {
        Self {
            directory,
            batches: 0,
        }
    }

    /// A batch, as pictures and as tensors.
    pub(super) fn save(
        &mut self,
        session: &Session<'_>,
        batch: &AttackBatch<'_>,
        attacked: &AttackedBatch,
    ) -> Result<()> {
        for (attack, attacked) in session.options.attack.iter().zip(&attacked.attacks) {
            let directory = self.directory.join(attack.name);
            std::fs::create_dir_all(&directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
            for (place, &sample) in batch.samples().iter().enumerate() {
                let index = sample as usize;
                let stem = picture_stem(index, &session.path(index));
                let image = picture(&attacked.images.select(&[place]))?;
                image.write_png(&directory.join(format!("{stem}.png")))?;
            }
            let tensors = [
                ("clean", batch.images().to_nchw(DType::F32)?),
                ("adversarial", attacked.images.to_nchw(DType::F32)?),
                (
                    "labels",
                    numbers(batch.labels().iter().copied().map(i64::from))?,
                ),
                (
                    "predictions",
                    numbers(attacked.predictions.iter().copied().map(i64::from))?,
                ),
                (
                    "indices",
                    numbers(batch.samples().iter().map(|&sample| sample as i64))?,
                ),
            ];
            let tensors = tensors.map(|(name, tensor)| (name.to_string(), tensor));
            let path = directory.join(format!("batch-{:04}.safetensors", self.batches));
            save_safetensors(&path, &tensors, &BTreeMap::new())?;
        }
        self.batches += 1;
        Ok(())
    }
}

fn numbers(numbers: impl Iterator<Item = i64>) -> Result<Tensor> {
    let numbers: Vec<i64> = numbers.collect();
    let count = numbers.len();
    Ok(Tensor::from_vec(numbers, count, &Device::Cpu)?)
}

/// The first image, rounded to bytes.
pub(super) fn picture(images: &Images) -> Result<Image> {
    let [height, width, channels] = images.size();
    let bytes = images
        .image(0)
        .iter()
        .map(|value| (255. * value).round() as u8);
    Ok(Image::from_pixels(
        height,
        width,
        channels,
        bytes.collect(),
    )?)
}
