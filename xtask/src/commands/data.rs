//! `cargo xtask data`: what is in a folder of images.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use cnn_core::Interpolation;
use cnn_data::{DuplicateGroup, Image, Split, Survey, contact_sheet, resize, survey, survey_parts};

use crate::datasets::Source;
use crate::{args, inference, output};

/// Describe a dataset: format, splits, classes and counts, sizes, mean and standard deviation, broken and duplicate files
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// A folder of class folders, MNIST-like IDX files, an image parquet, or `shapes`
    path: String,

    /// Also write a picture of the first images of each class, a row per class
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,

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
        let source = Source::parse(&self.path)?;
        if let Some(sheet) = &self.sheet {
            write_sheet(&source, sheet)?;
        }
        let survey = match &source {
            Source::Path(path) => survey(path)?,
            Source::Shapes(_) => {
                let parts = Split::ALL.iter().map(|&split| Ok((Some(split), source.open(Some(split))?)));
                survey_parts(&self.path, parts.collect::<Result<_>>()?)
            }
        };
        if self.json { output::json(&survey) } else { print(&survey) }
    }
}

/// How many images of a class the picture shows.
const SHEET_COLUMNS: usize = 10;
const SHEET_CLASSES: usize = 20;
const THUMBNAIL: usize = 160;

fn write_sheet(source: &Source, path: &Path) -> Result<()> {
    let dataset = source.open(source.splits()?.first().copied())?;
    let classes = dataset.classes().len().clamp(1, SHEET_CLASSES);
    let mut rows: Vec<Vec<Image>> = vec![Vec::new(); classes];
    for index in 0..dataset.len() {
        let row = rows.get_mut(dataset.label(index).unwrap_or(0)).filter(|row| row.len() < SHEET_COLUMNS);
        if let (Some(row), Ok(sample)) = (row, dataset.read(index)) {
            row.push(thumbnail(sample.image)?);
        }
    }
    let nothing = Image::from_pixels(1, 1, 1, vec![255])?;
    for row in &mut rows {
        row.resize(SHEET_COLUMNS, nothing.clone());
    }
    contact_sheet(&rows.concat(), SHEET_COLUMNS, 2)?.write_png(path)?;
    Ok(())
}

/// Shrinks an image so that its longer side is at most [`THUMBNAIL`].
fn thumbnail(image: Image) -> Result<Image> {
    let longer = image.height().max(image.width());
    if longer <= THUMBNAIL {
        return Ok(image);
    }
    let side = |side: usize| (side * THUMBNAIL / longer).max(1);
    Ok(resize(&image, side(image.height()), side(image.width()), Interpolation::Bilinear)?)
}

fn print(survey: &Survey) -> Result<()> {
    println!("{}: {}, {} samples, {} readable", survey.path, survey.format, survey.samples, survey.readable);
    println!();
    print_counts(survey)?;
    println!();
    if let Some(sizes) = &survey.sizes {
        let range = |range: &cnn_data::Range| format!("{} to {}, median {}", range.min, range.max, range.median);
        println!("height      {}", range(&sizes.height));
        println!("width       {}", range(&sizes.width));
    }
    for kind in &survey.kinds {
        let format = kind.format.map_or("bare pixels".to_string(), |format| format.to_string());
        println!("stored as   {format}, {}, {} bits: {} images", kind.color, kind.bits, kind.samples);
    }
    if let Some(statistics) = &survey.statistics {
        let numbers = |values: &[f64]| values.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(", ");
        println!("mean        {} (of 0..1)", numbers(&statistics.mean));
        println!("deviation   {}", numbers(&statistics.std));
    }
    print_duplicates(&survey.duplicates);
    inference::print_skipped(&survey.broken);
    Ok(())
}

/// One row per class, one column per split.
fn print_counts(survey: &Survey) -> Result<()> {
    let split_name = |split: Option<cnn_data::Split>| split.map_or("samples", cnn_data::Split::name);
    let mut columns = vec![("class", false)];
    columns.extend(survey.splits.iter().map(|split| (split_name(split.split), true)));
    let row = |class: &String| {
        let count = |split: &cnn_data::SplitSurvey| {
            let found = split.classes.iter().find(|count| count.label == *class);
            found.map_or("0".to_string(), |count| count.samples.to_string())
        };
        std::iter::once(class.clone()).chain(survey.splits.iter().map(count)).collect()
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
        let paths: Vec<&str> = group.samples.iter().map(|location| location.path.as_str()).collect();
        let warning = match (group.across_splits, group.across_classes) {
            (true, true) => " (in several splits and classes)",
            (true, false) => " (in several splits)",
            (false, true) => " (in several classes)",
            (false, false) => "",
        };
        println!("  {}{warning}", paths.join(" = "));
    }
    if groups.len() > SHOWN_GROUPS {
        println!("  and {} groups more (--json lists them)", groups.len() - SHOWN_GROUPS);
    }
}
