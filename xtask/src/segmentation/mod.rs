//! Networks for pixels in the commands: training, measuring, predicting.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use cnn_core::{RunDir, write_atomic};
use cnn_data::{
    Augmentation, ClassCrop, ColorJitter, Dataset, MaskOverlay, MaskPalette, RandomHorizontalFlip,
    RandomRotation, Skipped, Split,
};
use cnn_models::{LoadOptions, SegmentationNetwork};
use cnn_train::{
    Best, PixelCounts, PixelLossKind, PixelLossSum, PixelLossTerm, SegmentOptions, Segmentation,
    Task as _, Tiling, TrainConfig, TrainSummary, TrainingData, check_mask_datasets,
};
use cnn_transfer::{SegmentationMeasured, measure_segmentation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{Unusable, positive};
use crate::conclusion::sha256;
use crate::datasets::{MaskOptions, Source};
use crate::memory::{self, Workload};
use crate::training::{Augment, TrainingArgs, Watcher, interrupted, run_task, save_arguments};
use crate::{inference, output};

/// What is said of masks.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct MaskArgs {
    /// Of masks: a file with the names of their classes, or names and colors, as `classes.txt`
    #[arg(long, value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<PathBuf>,

    /// Of masks: the number that stands for no class; 255 does already
    #[arg(long, value_name = "N")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignore_index: Option<u8>,
}

impl MaskArgs {
    /// The data that `--data` names.
    pub(crate) fn source(&self, data: &str) -> Result<Source> {
        Source::parse(data)?.with_masks(&MaskOptions {
            classes: self.classes.clone(),
            ignored: self.ignore_index,
        })
    }
}

/// What [`MaskArgs`] are called.
pub(crate) const MASK_FLAGS: [&str; 2] = ["classes", "ignore_index"];

/// What [`SegmentArgs`] are called.
pub(crate) const SEGMENT_FLAGS: [&str; 4] = ["tile", "overlap", "mirror", "scales"];

/// How photos are segmented.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SegmentArgs {
    /// Of networks for pixels: cut photos into tiles of so many pixels a side, a multiple of 32, so
    /// that the memory does not grow with them
    #[arg(long, value_name = "PIXELS")]
    tile: Option<usize>,

    /// Of networks for pixels: pixels that neighbouring tiles share; default a quarter
    #[arg(long, value_name = "PIXELS", requires = "tile")]
    overlap: Option<usize>,

    /// Of networks for pixels: average with the mirrored photo
    #[arg(long)]
    mirror: bool,

    /// Of networks for pixels: average over these sizes, as 0.75,1,1.25
    #[arg(long, value_name = "SCALES", value_delimiter = ',', value_parser = positive)]
    scales: Vec<f64>,
}

impl SegmentArgs {
    pub(crate) fn options(&self) -> Result<SegmentOptions> {
        let tiling = match (self.tile, self.overlap) {
            (None, _) => None,
            (Some(size), None) => Some(Tiling::new(size).context(Unusable)?),
            (Some(size), Some(overlap)) => Some(
                Tiling::new(size)
                    .and_then(|tiling| tiling.with_overlap(overlap))
                    .context(Unusable)?,
            ),
        };
        let options = SegmentOptions {
            tiling,
            mirror: self.mirror,
            scales: match &self.scales[..] {
                [] => vec![1.],
                scales => scales.to_vec(),
            },
        };
        options.validate().context(Unusable)?;
        Ok(options)
    }
}

/// Opens the images of a run, with their masks.
pub(crate) fn open_data(
    data: &str,
    masks: &MaskArgs,
    training: &TrainingArgs,
) -> Result<TrainingData> {
    let opened = match masks.source(data)? {
        Source::Path(place) => {
            TrainingData::open_masks(place.found()?, training.val_fraction, training.seed)?
        }
        source @ Source::Shapes(_) => {
            let open = |split| source.open(Some(split));
            let train = open(Split::Train)?;
            TrainingData::new(train, open(Split::Val)?).with_test(open(Split::Test)?)
        }
    };
    inference::print_notes(opened.notes());
    check_mask_datasets(opened.train().as_ref(), opened.val().as_ref())
        .with_context(|| data.to_string())?;
    Ok(opened)
}

/// What is minimised where nothing is said: the likelihood of every pixel's class and the overlap of
/// the regions.
pub(crate) fn default_loss() -> PixelLossSum {
    let terms = [
        PixelLossKind::CrossEntropy(Default::default()),
        PixelLossKind::Dice(Default::default()),
    ];
    PixelLossSum {
        terms: terms.map(|loss| PixelLossTerm { weight: 1., loss }).into(),
    }
}

/// Rows and columns of training images where nothing is said: those of the first image that can be
/// read, to a multiple of 32 and at most 512.
pub(crate) fn default_size(dataset: &dyn Dataset) -> [usize; 2] {
    const MOST: usize = 512;
    let mut images = (0..dataset.len()).map(|index| dataset.read(index));
    let first = images.find_map(Result::ok);
    let [height, width] = first.map_or([MOST; 2], |sample| {
        [sample.image.height(), sample.image.width()]
    });
    [height, width].map(|side| (side.min(MOST) / 32 * 32).max(32))
}

/// A run that trains a network for pixels.
pub(crate) struct Training<'a, A> {
    pub(crate) command: &'static str,
    /// What is kept of the command line.
    pub(crate) arguments: &'a A,
    pub(crate) training: &'a TrainingArgs,
    pub(crate) data: &'a TrainingData,
    pub(crate) network: SegmentationNetwork,
    pub(crate) batch: usize,
    pub(crate) loss: PixelLossSum,
    pub(crate) config: TrainConfig,
    /// The directory of a run to go on with.
    pub(crate) directory: Option<&'a Path>,
}

impl<A: Serialize> Training<'_, A> {
    /// Trains, measures the best epoch, and prints what came of it.
    pub(crate) fn run(self) -> Result<()> {
        let Self { network, data, .. } = &self;
        memory::check(network, self.batch, Workload::Training)?;
        let train = data.train().clone();
        let record = network.preprocessing().clone();
        let augmentation = augmentation(self.training, train.as_ref(), network)?;
        let task = Segmentation::new(train, data.val().clone(), record, |mode| {
            network.build(mode)
        })?
        .with_batch_size(self.batch)
        .context(Unusable)?
        .with_augmentation(augmentation)
        .with_loss(self.loss.clone());
        let name = network.spec().name;
        let directory = match self.directory {
            Some(directory) => directory.to_path_buf(),
            None => RunDir::create(&self.training.out, self.command, name)?
                .path()
                .to_path_buf(),
        };
        save_arguments(self.arguments, &directory)?;
        data.record_in(&directory)?;
        eprintln!(
            "{name}: {} parameters, {} training and {} validation images of {} classes, {} epochs \
             of {} updates, in {}",
            network.store().parameter_count(),
            data.train().len(),
            data.val().len(),
            data.train().mask_classes().len(),
            self.config.epochs,
            task.batches_per_epoch(),
            directory.display()
        );
        let mut watcher = Watcher::without_strip(self.config.patience.map(|epochs| epochs as u32));
        watcher.begin(data.train().len() * self.config.epochs);
        let config = self.config.clone();
        let training = self.training;
        let summary = run_task(&task, network, config, training, &directory, &mut watcher)?;
        if summary.interrupted {
            return Err(interrupted(self.command, summary.epochs, &directory));
        }
        conclude(
            &directory,
            data,
            &summary,
            &task.skipped(),
            self.training.json,
        )
    }
}

/// What is done to training images and masks: they are turned, cut at a random scale so that rare
/// classes are as often in the part as others, mirrored, and given other colors.
pub(crate) fn augmentation(
    training: &TrainingArgs,
    dataset: &dyn Dataset,
    network: &SegmentationNetwork,
) -> Result<Augmentation> {
    let [_, height, width] = network.preprocessing().input_size;
    let mut augmentation = Augmentation::new();
    if training.rotate != 0. {
        augmentation = augmentation.then(RandomRotation::new(training.rotate).context(Unusable)?);
    }
    // The scales of the parts that are cut out; none are where images of few pixels show their
    // objects at one size, and whole.
    let scales = match training.augment {
        Augment::None => None,
        Augment::Auto if height.max(width) <= 64 => None,
        Augment::CropFlip => Some([1., 1.]),
        Augment::Auto | Augment::ResizedCrop => Some([0.5, 2.]),
    };
    if let Some([low, high]) = scales {
        let crop = ClassCrop::new(height, width, &shares(dataset)?)
            .and_then(|crop| crop.with_scale(low, high))
            .context(Unusable)?;
        augmentation = augmentation.then(crop);
    }
    if training.augment != Augment::None {
        augmentation = augmentation.then(RandomHorizontalFlip::new(0.5)?);
    }
    if training.color_jitter != 0. {
        let share = training.color_jitter;
        let jitter = ColorJitter::new(share, share, share, 0.).context(Unusable)?;
        augmentation = augmentation.then(jitter);
    }
    Ok(augmentation)
}

/// The share of each class of the pixels of some hundred masks.
fn shares(dataset: &dyn Dataset) -> Result<Vec<f64>> {
    const MOST: usize = 200;
    let mut counts = PixelCounts::new(dataset.mask_classes().len());
    let step = dataset.len().div_ceil(MOST).max(1);
    for index in (0..dataset.len()).step_by(step) {
        // What cannot be read is skipped and named in training.
        let Ok(sample) = dataset.read(index) else {
            continue;
        };
        if let Some(mask) = sample.mask {
            counts.add(mask.bytes())?;
        }
    }
    let all: u64 = counts.pixels().iter().sum();
    let shares = counts.pixels().iter();
    Ok(shares
        .map(|&pixels| pixels as f64 / all.max(1) as f64)
        .collect())
}

/// Measures the best epoch, writes `summary.json`, and prints it.
pub(crate) fn conclude(
    directory: &Path,
    data: &TrainingData,
    summary: &TrainSummary,
    skipped: &[Skipped],
    as_json: bool,
) -> Result<()> {
    let network = SegmentationNetwork::load(&directory.join("best"), &LoadOptions::default())?;
    let part = data.measured_on();
    let measured = measure(&network, part.images.as_ref(), &SegmentOptions::default())?;
    let best = summary.best.as_ref().context("no epoch was completed")?;
    let mut json = json!({
        "run_dir": directory,
        "epochs": summary.epochs,
        "best": best_json(best),
        "weights_sha256": sha256(&directory.join("last/model.safetensors"))?,
        "seconds": summary.seconds,
        "skipped": skipped,
        "notes": data.notes(),
    });
    json[part.part.name()] = totals(&measured);
    let text = serde_json::to_string_pretty(&json)? + "\n";
    write_atomic(&directory.join("summary.json"), |file| {
        file.write_all(text.as_bytes())
    })?;
    inference::print_skipped(skipped);
    if as_json {
        return output::json(&json);
    }
    println!(
        "best epoch {}: mIoU {:.4} on the validation images",
        best.epoch, best.score
    );
    let result = &measured.measured.result;
    println!(
        "{}: mIoU {:.4}, pixel accuracy {:.2} %, {} images",
        part.part,
        result.mean_iou,
        100. * result.pixel_accuracy,
        result.samples
    );
    let sha = json["weights_sha256"].as_str().unwrap_or_default();
    println!("sha256 of last/model.safetensors: {sha}");
    Ok(())
}

fn best_json(best: &Best) -> Value {
    let mut json = json!({"epoch": best.epoch, "val_miou": best.score});
    if let Some(loss) = best.metrics.get("loss") {
        json["val_loss"] = json!(loss);
    }
    json
}

fn measure(
    network: &SegmentationNetwork,
    dataset: &dyn Dataset,
    options: &SegmentOptions,
) -> Result<SegmentationMeasured> {
    let name = network.spec().name;
    inference::with_progress(name, dataset.len(), |progress| {
        measure_segmentation(network, dataset, options, &mut |_, _| progress(1))
    })
}

/// The figures over all classes, for programs.
fn totals(measured: &SegmentationMeasured) -> Value {
    let result = &measured.measured.result;
    json!({
        "samples": result.samples,
        "loss": measured.measured.loss,
        "miou": result.mean_iou,
        "pixel_accuracy": result.pixel_accuracy,
    })
}

/// Measures a network for pixels and prints what came of it.
pub(crate) fn evaluate(
    network: &SegmentationNetwork,
    dataset: &Arc<dyn Dataset>,
    options: &SegmentOptions,
    weights: &str,
    as_json: bool,
) -> Result<()> {
    let measured = measure(network, dataset.as_ref(), options)?;
    let result = &measured.measured.result;
    let names = dataset.mask_classes();
    let intervals = measured.intervals()?;
    if as_json {
        let mut json = totals(&measured);
        let interval = &intervals.mean_iou;
        json["miou_interval"] = json!([interval.low, interval.high]);
        json["mean_accuracy"] = json!(result.mean_accuracy);
        json["frequency_weighted_iou"] = json!(result.frequency_weighted_iou);
        json["mean_iou_per_image"] = json!(result.mean_iou_per_image);
        let per_class = result.per_class.iter().zip(names);
        let per_class = per_class.map(|(class, label)| {
            json!({"label": label, "iou": class.iou, "dice": class.dice, "pixels": class.pixels})
        });
        json["per_class"] = per_class.collect();
        json["skipped"] = json!(measured.skipped);
        json["weights"] = weights.into();
        return output::json(&json);
    }
    let columns = [
        ("class", false),
        ("pixels", true),
        ("IoU", true),
        ("95 % interval", true),
        ("Dice", true),
        ("recall", true),
    ];
    let share = |share: Option<f64>| share.map_or(String::new(), |share| format!("{share:.3}"));
    let classes = result.per_class.iter().zip(names);
    let rows = classes.zip(&intervals.per_class_iou);
    let rows = rows.map(|((class, name), interval)| {
        let interval = interval.as_ref();
        vec![
            name.clone(),
            class.pixels.to_string(),
            share(class.iou),
            interval.map_or(String::new(), |interval| {
                format!("{:.3} to {:.3}", interval.low, interval.high)
            }),
            share(class.dice),
            share(class.accuracy),
        ]
    });
    output::table(&columns, &rows.collect::<Vec<_>>())?;
    println!();
    println!("samples         {}", result.samples);
    println!("loss            {:.4}", measured.measured.loss);
    println!(
        "mIoU            {:.4} (95 % interval {:.4} to {:.4}, by bootstrap over the images)",
        result.mean_iou, intervals.mean_iou.low, intervals.mean_iou.high
    );
    println!("pixel accuracy  {:.2} %", 100. * result.pixel_accuracy);
    println!("mean accuracy   {:.2} %", 100. * result.mean_accuracy);
    println!(
        "of each image   mIoU {:.4} on average",
        result.mean_iou_per_image
    );
    inference::print_skipped(&measured.skipped);
    Ok(())
}

/// Segments photos: for each an index PNG, an overlay, and the shares of the classes.
pub(crate) fn predict(
    network: &SegmentationNetwork,
    photos: &dyn Dataset,
    options: &SegmentOptions,
    out: &Path,
    weights: &str,
    as_json: bool,
) -> Result<()> {
    use cnn_layers::Mode;
    use cnn_train::SegmentImage as _;
    let model = network.build(Mode::Inference)?;
    let names: Vec<String> = match network.label_names() {
        Some(names) => names.to_vec(),
        None => (0..model.num_classes().max(2))
            .map(|class| class.to_string())
            .collect(),
    };
    let overlay = if names[0].eq_ignore_ascii_case("background") {
        MaskOverlay::new().with_clear(0)
    } else {
        MaskOverlay::new()
    };
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut predictions = Vec::new();
    let mut skipped = Vec::new();
    let mut progress = output::Progress::new(network.spec().name, photos.len());
    for index in 0..photos.len() {
        let path = photos.id(index);
        let image = match photos.read(index) {
            Ok(sample) => sample.image,
            Err(error) => {
                skipped.push(Skipped {
                    path,
                    reason: error.to_string(),
                });
                progress.advance(1);
                continue;
            }
        };
        let segmented = model.segment_image(&image, network.preprocessing(), options)?;
        let stem = Path::new(&path).file_stem().unwrap_or_default();
        let stem = format!("{index:04}-{}", stem.to_string_lossy());
        let mask_path = out.join(format!("{stem}.png"));
        let overlay_path = out.join(format!("{stem}-overlay.png"));
        segmented
            .mask
            .write_png(&mask_path, &MaskPalette::distinct())?;
        overlay
            .draw(&image, &segmented.mask)?
            .write_png(&overlay_path)?;
        let mut counts = vec![0usize; names.len()];
        for &class in segmented.mask.bytes() {
            counts[usize::from(class)] += 1;
        }
        let pixels = segmented.mask.bytes().len();
        let mut shares: Vec<(usize, f64)> = counts
            .iter()
            .map(|&count| count as f64 / pixels as f64)
            .enumerate()
            .filter(|(_, share)| *share > 0.)
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let shares: Vec<Value> = shares
            .into_iter()
            .map(|(class, share)| json!({"index": class, "label": names[class], "share": share}))
            .collect();
        predictions.push(json!({
            "path": path,
            "mask": mask_path,
            "overlay": overlay_path,
            "confidence": segmented.confidence,
            "classes": shares,
        }));
        progress.advance(1);
    }
    progress.finish();
    if predictions.is_empty() {
        inference::print_skipped(&skipped);
        bail!("no photo could be read");
    }
    if as_json {
        return output::json(
            &json!({"weights": weights, "predictions": predictions, "skipped": skipped}),
        );
    }
    for prediction in &predictions {
        let classes = prediction["classes"].as_array().into_iter().flatten();
        let said = classes.take(5).map(|class| {
            let share = class["share"].as_f64().unwrap_or(0.);
            format!(
                "{} {:.1} %",
                class["label"].as_str().unwrap_or(""),
                100. * share
            )
        });
        let overlay = prediction["overlay"].as_str().unwrap_or("");
        println!(
            "{}: {}; {overlay}",
            prediction["path"].as_str().unwrap_or(""),
            said.collect::<Vec<_>>().join("; ")
        );
    }
    inference::print_skipped(&skipped);
    Ok(())
}
