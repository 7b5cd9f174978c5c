//! What the network saw in the same few images after each epoch: written during a run, shown by its
//! report.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cnn_core::write_atomic;
use cnn_data::{BatchPlan, Dataset, Image, open_image};
use cnn_layers::{Classifier, Context, FeatureMap, Mode};
use cnn_metrics::top_k;
use cnn_models::Network;
use cnn_viz::{Explainer, ImageStrip, Method, StripRow, Target, overlay, thumbnail};

/// Images in a strip, and epochs that a report shows.
const IMAGES: usize = 4;
const EPOCHS: usize = 10;
/// The longer side of its pictures at most.
const SIDE: usize = 128;
const FOLDER: &str = "strip";

/// Writes a strip while a network is trained.
pub(crate) struct Strip {
    model: Box<dyn Classifier>,
    names: Vec<String>,
    record: cnn_core::Preprocessing,
    photos: Vec<Image>,
    labels: Vec<String>,
    /// `None` where no image can be read.
    inputs: Option<FeatureMap>,
    folder: OnceCell<PathBuf>,
}

impl Strip {
    /// Takes images at equal distances from the dataset, which `network` is validated on.
    pub(crate) fn new(network: &Network, dataset: &Arc<dyn Dataset>) -> Result<Self> {
        let order = (0..IMAGES.min(dataset.len()))
            .map(|image| image * dataset.len() / IMAGES)
            .collect();
        let record = network.preprocessing().clone();
        let plan = BatchPlan::new(dataset.clone(), record.clone())
            .with_order(order)
            .with_batch_size(IMAGES);
        let mut photos = Vec::new();
        let mut labels = Vec::new();
        let mut inputs = None;
        if let Some(batch) = plan.start()?.next() {
            let batch = batch?;
            for &index in &batch.indices {
                photos.push(thumbnail(&dataset.content(index)?.into_image()?, SIDE)?);
                labels.push(
                    dataset
                        .label(index)
                        .map_or_else(String::new, |label| dataset.classes()[label].clone()),
                );
            }
            inputs = Some(FeatureMap::from_nhwc(&batch.images)?);
        }
        let model = network.build(Mode::Eval)?;
        let names = cnn_transfer::class_names(network);
        Ok(Self {
            model,
            names,
            record,
            photos,
            labels,
            inputs,
            folder: OnceCell::new(),
        })
    }

    /// Says where the run keeps its files.
    pub(crate) fn begin(&self, directory: &Path) -> Result<()> {
        if self.inputs.is_none() {
            return Ok(());
        }
        let folder = self.folder.get_or_init(|| directory.join(FOLDER));
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        for (number, photo) in self.photos.iter().enumerate() {
            photo.write_png(&image_path(folder, number))?;
        }
        write_texts(&folder.join("labels.json"), &self.labels)
    }

    /// Adds an epoch; a run goes on without where that fails.
    pub(crate) fn add(&self, epoch: usize) {
        if let Err(error) = self.write(epoch) {
            eprintln!("note: no pictures of epoch {epoch}: {error:#}");
        }
    }

    fn write(&self, epoch: usize) -> Result<()> {
        let (Some(folder), Some(inputs)) = (self.folder.get(), &self.inputs) else {
            return Ok(());
        };
        let logits = self
            .model
            .forward(inputs, &Context::eval())?
            .to_vec2::<f32>()?;
        let explanation = Explainer::new(self.model.as_ref()).explain(
            Method::GradCam,
            inputs,
            &[Target::PREDICTED],
        )?;
        let mut captions = Vec::new();
        for (number, (map, logits)) in explanation.maps.iter().zip(&logits).enumerate() {
            overlay(&self.photos[number], map, &self.record)?
                .write_png(&cell_path(folder, epoch, number))?;
            let best = top_k(logits, 1)?[0];
            captions.push(format!(
                "{} {:.0} %",
                self.names[best.index],
                100. * best.probability
            ));
        }
        write_texts(&folder.join(format!("epoch-{epoch}.json")), &captions)
    }
}

/// The strip of a run directory over these epochs, at most ten of them; `None` where there is none.
pub(crate) fn read(directory: &Path, epochs: &[usize]) -> Option<ImageStrip> {
    let folder = directory.join(FOLDER);
    let labels = read_texts(&folder.join("labels.json"))?;
    let written = |&&epoch: &&usize| folder.join(format!("epoch-{epoch}.json")).exists();
    let epochs: Vec<usize> = epochs.iter().filter(written).copied().collect();
    let shown = epochs.len().min(EPOCHS);
    // The first and the last, the others at equal distances.
    let at = |number: usize| epochs[number * (epochs.len() - 1) / (shown - 1).max(1)];
    let epochs: Vec<usize> = (0..shown).map(at).collect();
    let row = |(number, label): (usize, String)| {
        let cell = |&epoch: &usize| {
            let captions = read_texts(&folder.join(format!("epoch-{epoch}.json")))?;
            Some((
                open_image(&cell_path(&folder, epoch, number)).ok()?,
                captions.get(number)?.clone(),
            ))
        };
        let cells = epochs.iter().map(cell).collect::<Option<Vec<_>>>()?;
        Some(StripRow {
            image: open_image(&image_path(&folder, number)).ok()?,
            label,
            cells,
        })
    };
    let rows = labels
        .into_iter()
        .enumerate()
        .map(row)
        .collect::<Option<Vec<_>>>()?;
    let columns = epochs.iter().map(|epoch| format!("epoch {epoch}"));
    (shown > 0).then(|| ImageStrip {
        title: "The same images over the epochs".to_string(),
        note: Some(
            "Grad-CAM of the class that the network predicted after each epoch: where it looked."
                .to_string(),
        ),
        columns: columns.collect(),
        rows,
    })
}

fn image_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("image-{number}.png"))
}

fn cell_path(folder: &Path, epoch: usize, number: usize) -> PathBuf {
    folder.join(format!("epoch-{epoch}-image-{number}.png"))
}

fn write_texts(path: &Path, texts: &[String]) -> Result<()> {
    let text = serde_json::to_string(texts)? + "\n";
    Ok(write_atomic(path, |file| file.write_all(text.as_bytes()))?)
}

fn read_texts(path: &Path) -> Option<Vec<String>> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
