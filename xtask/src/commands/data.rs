//! `cargo xtask data`: what is in a folder of images.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use cnn_data::{
    BoxFormat, Dataset, DuplicateGroup, Image, MaskOverlay, MaskPalette, MaskSurvey, Sample, Split,
    Survey, contact_sheet, resize_mask, survey, survey_found, survey_parts,
};
use cnn_models::Kind;
use cnn_viz::thumbnail;

use crate::args::Unusable;
use crate::datasets::{MaskOptions, Source};
use crate::os_text::PathOrName;
use crate::{args, detection, hub, inference, next_steps, output};

/// Describe a dataset: format, splits, classes and counts, sizes, mean and standard deviation,
/// broken and duplicate files; `data list` lists the datasets that are known by name
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// A folder of class folders, a CSV of images and labels, MNIST-like IDX files, CIFAR's files,
    /// WebDataset archives, an image parquet, folders of photos and of their masks, photos with
    /// boxes as Pascal VOC, COCO or YOLO have them, a dataset by name as `flowers102`, which is
    /// downloaded once, `shapes`, or `list`
    #[arg(value_parser = PathOrName)]
    path: String,

    /// Also write a picture of the first images of each class, a row per class; masks, or else
    /// boxes, are drawn over their images
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,

    /// Also write the first images of each class and split as PNG files into a new folder, with their
    /// masks if they have no labels; or all photos with their boxes as `voc`, `coco` or `yolo` (a
    /// folder of that name is `./voc`)
    #[arg(long, value_name = "DIR|FORMAT")]
    export: Option<PathBuf>,

    /// Where --export of a format writes, a new folder; default the data's name and the format's, as
    /// `bccd-yolo`
    #[arg(long, value_name = "DIR", requires = "export")]
    out: Option<PathBuf>,

    /// The classes of masks: a file of names, or of names and colors, as `classes.txt`
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,

    /// The number in masks that stands for no class; 255 does already
    #[arg(long, value_name = "N")]
    ignore_index: Option<u8>,

    /// Number of threads; default all cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Groups of equal files that the text shows; JSON has them all.
const SHOWN_GROUPS: usize = 10;

impl Data {
    pub(crate) fn run(&self) -> Result<()> {
        args::set_threads(self.threads)?;
        let is_png = |path: &PathBuf| {
            path.extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("png"))
        };
        if let Some(sheet) = self.sheet.as_ref().filter(|sheet| !is_png(sheet)) {
            let message = format!(
                "--sheet writes PNG, expected FILE.png, found {}",
                sheet.display()
            );
            return Err(anyhow!(message).context(Unusable));
        }
        if self.path == "list" {
            return if self.json {
                output::json(&hub::dataset_list())
            } else {
                hub::print_datasets()
            };
        }
        let source = Source::parse(&self.path)?.with_masks(&MaskOptions {
            classes: self.classes.clone(),
            ignored: self.ignore_index,
        })?;
        if let Some(sheet) = &self.sheet {
            write_sheet(&source, sheet)?;
        }
        if let Some(export_to) = &self.export {
            let named = export_to.to_str().and_then(|name| name.parse().ok());
            self.export(&source, export_to, named)?;
        }
        let survey = match &source {
            Source::Path(place) if self.classes.is_some() || self.ignore_index.is_some() => {
                survey_found(place.found()?)?
            }
            Source::Path(place) => survey(&place.path)?,
            Source::Shapes(_) => {
                let parts = Split::ALL
                    .iter()
                    .map(|&split| Ok((Some(split), source.open(Some(split))?)));
                survey_parts(&self.path, parts.collect::<Result<_>>()?)
            }
        };
        if survey.readable == 0 {
            let reasons = survey
                .broken
                .iter()
                .map(|broken| format!("{}: {}", broken.path, broken.reason));
            bail!(
                "nothing readable in {}: {}",
                self.path,
                reasons.take(3).collect::<Vec<_>>().join("; ")
            );
        }
        inference::print_notes(&survey.notes);
        if self.json {
            return output::json(&survey);
        }
        print(&survey)?;
        next_steps::print(&next_steps::after_survey(&self.path, learnt(&survey)));
        Ok(())
    }
}

impl Data {
    fn export(&self, source: &Source, to: &Path, format: Option<BoxFormat>) -> Result<()> {
        let Some(format) = format else {
            if self.out.is_some() {
                let message =
                    "--out is of --export voc, coco and yolo; a folder is named by --export itself";
                return Err(anyhow!(message).context(Unusable));
            }
            return export(source, to);
        };
        let default = || detection::folder_of(&self.path, format);
        let out = self.out.clone().unwrap_or_else(default);
        detection::export(source, format, &out)
    }
}

/// Images of a class in the picture and in what is exported, and classes in the picture.
const IMAGES: usize = 10;
const SHEET_CLASSES: usize = 20;
const THUMBNAIL: usize = 160;

fn write_sheet(source: &Source, path: &Path) -> Result<()> {
    let dataset = source.open(source.splits()?.first().copied())?;
    let nothing = Image::from_pixels(1, 1, 1, vec![255])?;
    let mut tiles = Vec::new();
    let overlay = MaskOverlay::new().for_classes(dataset.as_ref().mask_classes());
    for samples in first_samples(dataset.as_ref(), SHEET_CLASSES) {
        for sample in &samples {
            tiles.push(tile(sample, &overlay, dataset.classes())?);
        }
        tiles.resize(tiles.len().next_multiple_of(IMAGES), nothing.clone());
    }
    contact_sheet(&tiles, IMAGES, 2)?.write_png(path)?;
    Ok(())
}

/// A small image of a sample, with its mask over it, or else its boxes.
fn tile(sample: &Sample, overlay: &MaskOverlay, classes: &[String]) -> Result<Image> {
    let small = thumbnail(&sample.image, THUMBNAIL)?;
    let Some(mask) = &sample.mask else {
        return detection::tile(small, sample, classes);
    };
    let [height, width] = [small.height(), small.width()];
    let mask = resize_mask(mask.clone(), height, width)?;
    Ok(overlay.draw(&small, &mask)?)
}

/// Writes the first images of each class as `<split>/<class>/<number>.png`, without the split where
/// the dataset is in one piece. Images without labels that have masks go to `images`, their masks
/// with the same names to `masks`, and the names of the masks' classes to `classes.txt`.
fn export(source: &Source, directory: &Path) -> Result<()> {
    if directory.exists() {
        return Err(anyhow!(
            "{} exists; name a folder that does not",
            directory.display()
        )
        .context(Unusable));
    }
    let splits = source.splits()?;
    let parts = if splits.is_empty() {
        vec![None]
    } else {
        splits.into_iter().map(Some).collect()
    };
    for split in parts {
        let dataset = source.open(split)?;
        let folder = split.map_or_else(
            || directory.to_path_buf(),
            |split| directory.join(split.name()),
        );
        let has_labels = (0..dataset.len()).any(|index| dataset.label(index).is_some());
        if !has_labels && !dataset.mask_classes().is_empty() {
            export_masks(dataset.as_ref(), directory, &folder)?;
            continue;
        }
        for (class, samples) in first_samples(dataset.as_ref(), usize::MAX)
            .iter()
            .enumerate()
        {
            let folder = folder.join(folder_name(
                dataset
                    .classes()
                    .get(class)
                    .map_or("images", String::as_str),
            ));
            create(&folder)?;
            for (number, sample) in samples.iter().enumerate() {
                let file = folder.join(format!("{number}.png"));
                sample.image.write_png(&file)?;
            }
        }
    }
    Ok(())
}

fn export_masks(dataset: &dyn Dataset, directory: &Path, folder: &Path) -> Result<()> {
    let images = folder.join("images");
    let masks = folder.join("masks");
    create(&images)?;
    create(&masks)?;
    let names = directory.join("classes.txt");
    std::fs::write(&names, dataset.mask_classes().join("\n") + "\n")
        .with_context(|| format!("cannot write {}", names.display()))?;
    let samples = first_samples(dataset, usize::MAX);
    for (number, sample) in samples.iter().flatten().enumerate() {
        let file = format!("{number}.png");
        sample.image.write_png(&images.join(&file))?;
        if let Some(mask) = &sample.mask {
            mask.write_png(&masks.join(file), &MaskPalette::distinct())?;
        }
    }
    Ok(())
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// A class's name as that of a folder, which stays where it is put.
fn folder_name(class: &str) -> String {
    let plain = class.replace(['/', '\\'], "-");
    if plain.is_empty() || plain.starts_with('.') {
        format!("class-{plain}")
    } else {
        plain
    }
}

/// The first readable samples of each of the first classes; of images without labels as of one
/// class, and of more of them than of a class.
fn first_samples(dataset: &dyn Dataset, classes: usize) -> Vec<Vec<Sample>> {
    let has_labels = (0..dataset.len()).any(|index| dataset.label(index).is_some());
    let classes = if has_labels {
        dataset.classes().len().clamp(1, classes)
    } else {
        1
    };
    let most = if has_labels || (dataset.mask_classes().is_empty() && !dataset.has_boxes()) {
        IMAGES
    } else {
        4 * IMAGES
    };
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); classes];
    for index in 0..dataset.len() {
        let of_class = samples
            .get_mut(dataset.label(index).unwrap_or(0))
            .filter(|samples| samples.len() < most);
        if let (Some(of_class), Ok(sample)) = (of_class, dataset.read(index)) {
            of_class.push(sample);
        }
    }
    samples
}

fn print(survey: &Survey) -> Result<()> {
    println!(
        "{}: {}, {} samples, {} readable",
        survey.path, survey.format, survey.samples, survey.readable
    );
    println!();
    print_counts(survey)?;
    println!();
    // Where images have labels, `--json` alone has what their masks hold.
    if let Some(masks) = survey.masks.as_ref().filter(|_| !has_labels(survey)) {
        print_masks(masks)?;
        println!();
    }
    if let Some(boxes) = survey.boxes.as_ref().filter(|_| !has_labels(survey)) {
        detection::print_boxes(boxes)?;
        println!();
    }
    if let Some(sizes) = &survey.sizes {
        let range = |range: &cnn_data::Range| {
            format!("{} to {}, median {}", range.min, range.max, range.median)
        };
        println!("height      {}", range(&sizes.height));
        println!("width       {}", range(&sizes.width));
    }
    for kind in &survey.kinds {
        let format = kind
            .format
            .map_or("bare pixels".to_string(), |format| format.to_string());
        println!(
            "stored as   {format}, {}, {} bits: {} images",
            kind.color, kind.bits, kind.samples
        );
    }
    if let Some(statistics) = &survey.statistics {
        let numbers = |values: &[f64]| {
            values
                .iter()
                .map(|value| format!("{value:.4}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        println!("mean        {} (of 0..1)", numbers(&statistics.mean));
        println!("deviation   {}", numbers(&statistics.std));
    }
    print_duplicates(&survey.duplicates);
    inference::print_skipped(&survey.broken);
    Ok(())
}

/// What a network can learn from such images. Those of `shapes` have everything, and labels come
/// first.
fn learnt(survey: &Survey) -> Option<Kind> {
    let has_boxes = survey.boxes.as_ref().is_some_and(|boxes| boxes.boxes > 0);
    let has_classes = survey.classes.len() > 1 && has_labels(survey);
    if has_classes {
        Some(Kind::Classification)
    } else if survey.masks.is_some() {
        Some(Kind::Segmentation)
    } else {
        has_boxes.then_some(Kind::Detection)
    }
}

fn has_labels(survey: &Survey) -> bool {
    let mut splits = survey.splits.iter();
    splits.any(|split| split.unlabelled < split.samples)
}

/// One row per class, one column per split.
fn print_counts(survey: &Survey) -> Result<()> {
    let split_name =
        |split: Option<cnn_data::Split>| split.map_or("samples", cnn_data::Split::name);
    let mut columns = vec![("class", false)];
    columns.extend(
        survey
            .splits
            .iter()
            .map(|split| (split_name(split.split), true)),
    );
    let row = |class: &String| {
        let count = |split: &cnn_data::SplitSurvey| {
            let found = split.classes.iter().find(|count| count.label == *class);
            found.map_or("0".to_string(), |count| count.samples.to_string())
        };
        std::iter::once(class.clone())
            .chain(survey.splits.iter().map(count))
            .collect()
    };
    // Classes of boxes have no counts.
    let classes = survey.classes.iter().filter(|_| has_labels(survey));
    let mut rows: Vec<Vec<String>> = classes.map(row).collect();
    let totals = survey.splits.iter().map(|split| split.samples.to_string());
    rows.push(std::iter::once("all".to_string()).chain(totals).collect());
    output::table(&columns, &rows)
}

/// One row per class of the masks: how much of them it covers, and how many images have it.
fn print_masks(masks: &MaskSurvey) -> Result<()> {
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let columns = [
        ("class in masks", false),
        ("pixels", true),
        ("images", true),
    ];
    let rows: Vec<Vec<String>> = masks
        .classes
        .iter()
        .map(|class| {
            vec![
                class.label.clone(),
                percent(class.share),
                class.images.to_string(),
            ]
        })
        .collect();
    output::table(&columns, &rows)?;
    println!("ignored     {} of all pixels", percent(masks.ignored));
    Ok(())
}

fn print_duplicates(groups: &[DuplicateGroup]) {
    if groups.is_empty() {
        return;
    }
    println!("duplicates  {} groups of equal files", groups.len());
    for group in groups.iter().take(SHOWN_GROUPS) {
        let paths: Vec<&str> = group
            .samples
            .iter()
            .map(|location| location.path.as_str())
            .collect();
        let warning = match (group.across_splits, group.across_classes) {
            (true, true) => " (in several splits and classes)",
            (true, false) => " (in several splits)",
            (false, true) => " (in several classes)",
            (false, false) => "",
        };
        println!("  {}{warning}", paths.join(" = "));
    }
    if groups.len() > SHOWN_GROUPS {
        println!(
            "  and {} groups more (--json lists them)",
            groups.len() - SHOWN_GROUPS
        );
    }
}
