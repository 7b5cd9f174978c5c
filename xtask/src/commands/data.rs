//! `cargo xtask data`: what is in a folder of images.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use cnn_data::{
    Dataset, DuplicateGroup, Image, Split, Survey, contact_sheet, survey, survey_parts,
};
use cnn_viz::thumbnail;

use crate::args::Unusable;
use crate::datasets::Source;
use crate::os_text::PathOrName;
use crate::{args, hub, inference, next_steps, output};

/// Describe a dataset: format, splits, classes and counts, sizes, mean and standard deviation,
/// broken and duplicate files; `data list` lists the datasets that are known by name
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// A folder of class folders, a CSV of images and labels, MNIST-like IDX files, CIFAR's files,
    /// WebDataset archives, an image parquet, a dataset by name as `flowers102`, which is downloaded
    /// once, `shapes`, or `list`
    #[arg(value_parser = PathOrName)]
    path: String,

    /// Also write a picture of the first images of each class, a row per class
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,

    /// Also write the first images of each class and split as PNG files into a new folder
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,

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
        let source = Source::parse(&self.path)?;
        if let Some(sheet) = &self.sheet {
            write_sheet(&source, sheet)?;
        }
        if let Some(directory) = &self.export {
            export(&source, directory)?;
        }
        let survey = match &source {
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
        next_steps::print(&next_steps::after_survey(
            &self.path,
            survey.classes.len() > 1,
        ));
        Ok(())
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
    for images in first_images(dataset.as_ref(), SHEET_CLASSES) {
        for image in &images {
            tiles.push(thumbnail(image, THUMBNAIL)?);
        }
        tiles.resize(tiles.len().next_multiple_of(IMAGES), nothing.clone());
    }
    contact_sheet(&tiles, IMAGES, 2)?.write_png(path)?;
    Ok(())
}

/// Writes the first images of each class as `<split>/<class>/<number>.png`, without the split where
/// the dataset is in one piece.
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
        for (class, images) in first_images(dataset.as_ref(), usize::MAX)
            .iter()
            .enumerate()
        {
            let folder = folder.join(folder_name(
                dataset
                    .classes()
                    .get(class)
                    .map_or("images", String::as_str),
            ));
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            for (number, image) in images.iter().enumerate() {
                image.write_png(&folder.join(format!("{number}.png")))?;
            }
        }
    }
    Ok(())
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

/// The first readable images of each of the first classes; of images without labels as of one
/// class.
fn first_images(dataset: &dyn Dataset, classes: usize) -> Vec<Vec<Image>> {
    let mut images: Vec<Vec<Image>> = vec![Vec::new(); dataset.classes().len().clamp(1, classes)];
    for index in 0..dataset.len() {
        let of_class = images
            .get_mut(dataset.label(index).unwrap_or(0))
            .filter(|images| images.len() < IMAGES);
        if let (Some(of_class), Ok(sample)) = (of_class, dataset.read(index)) {
            of_class.push(sample.image);
        }
    }
    images
}

fn print(survey: &Survey) -> Result<()> {
    println!(
        "{}: {}, {} samples, {} readable",
        survey.path, survey.format, survey.samples, survey.readable
    );
    println!();
    print_counts(survey)?;
    println!();
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
    let mut rows: Vec<Vec<String>> = survey.classes.iter().map(row).collect();
    let totals = survey.splits.iter().map(|split| split.samples.to_string());
    rows.push(std::iter::once("all".to_string()).chain(totals).collect());
    output::table(&columns, &rows)
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
