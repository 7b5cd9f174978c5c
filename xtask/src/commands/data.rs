//! `cargo xtask data`: what is in a folder of images.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use cnn_data::{DuplicateGroup, Survey, survey};

use crate::{args, inference, output};

/// Describe a dataset: format, splits, classes and counts, sizes, mean and standard deviation, broken and duplicate files
#[derive(Debug, Args)]
pub(crate) struct Data {
    /// A folder of class folders, MNIST-like IDX files, or an image parquet
    path: PathBuf,

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
        let survey = survey(&self.path)?;
        if self.json { output::json(&survey) } else { print(&survey) }
    }
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
