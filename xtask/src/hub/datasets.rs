//! Datasets by name, each a folder that is downloaded once.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cnn_hub::DatasetEntry;
use serde_json::{Value, json};

use super::progress::{Transfers, bytes};
use crate::output;

/// Where datasets by name are kept, unless `CNN_DATA` says otherwise.
const DATA: &str = "data";

/// The directory of datasets by name.
pub(crate) fn data_directory() -> PathBuf {
    std::env::var_os("CNN_DATA")
        .filter(|directory| !directory.is_empty())
        .map_or_else(|| PathBuf::from(DATA), PathBuf::from)
}

/// The folder of the dataset that `--data` names, with the configuration that it names
/// (`NAME:CONFIGURATION`), downloaded unless it is there; `None` where it names none.
pub(crate) fn dataset(text: &str) -> Result<Option<PathBuf>> {
    let (name, configuration) = match text.split_once(':') {
        Some((name, configuration)) => (name, Some(configuration)),
        None => (text, None),
    };
    let Ok(entry) = DatasetEntry::find(name) else {
        return Ok(None);
    };
    let mut folder = install(entry, &data_directory())?.into_os_string();
    if let Some(configuration) = configuration {
        folder.push(":");
        folder.push(configuration);
    }
    Ok(Some(PathBuf::from(folder)))
}

/// The folder of a dataset below a directory, downloaded unless it is there. What it is, its size
/// and its licence are told before.
pub(crate) fn install(entry: &DatasetEntry, directory: &Path) -> Result<PathBuf> {
    if let Some(folder) = entry.installed(directory) {
        return Ok(folder);
    }
    let licence = entry.licence.as_deref().map_or_else(
        || "no licence is stated".to_string(),
        |licence| format!("licence {licence}"),
    );
    eprintln!(
        "{entry}: {}, {licence}, see {}; to {}",
        size(entry),
        entry.page,
        directory.join(&entry.name).display()
    );
    let mut progress = Transfers::downloading();
    let installed = entry.install(&super::hub()?, directory, &mut progress);
    progress.finish();
    installed.with_context(|| entry.name.clone())
}

/// How much is downloaded for a dataset.
fn size(entry: &DatasetEntry) -> String {
    entry
        .bytes()
        .map_or_else(|| "size not known".to_string(), bytes)
}

/// `yes`, or nothing.
pub(crate) fn on_disk(is_here: bool) -> String {
    if is_here { "yes" } else { "" }.to_string()
}

/// What is known of each dataset by name, for `--json`.
pub(crate) fn dataset_list() -> Vec<Value> {
    let directory = data_directory();
    let entry = |entry: &DatasetEntry| {
        let splits = entry
            .splits
            .iter()
            .map(|split| json!({"name": split.name, "images": split.images}));
        json!({
            "name": entry.name,
            "title": entry.title,
            "task": entry.task,
            "classes": entry.classes,
            "splits": splits.collect::<Vec<_>>(),
            "bytes": entry.bytes(),
            "license": entry.licence,
            "page": entry.page,
            "hub": entry.hub,
            "becomes": entry.becomes(),
            "urls": entry.files.iter().map(|file| &file.url).collect::<Vec<_>>(),
            "on_disk": entry.installed(&directory).is_some(),
        })
    };
    DatasetEntry::all().iter().map(entry).collect()
}

/// Prints a line for each dataset by name.
pub(crate) fn print_datasets() -> Result<()> {
    let directory = data_directory();
    let columns = [
        ("dataset", false),
        ("classes", true),
        ("images", false),
        ("download", true),
        ("licence", false),
        ("on disk", false),
    ];
    let row = |entry: &DatasetEntry| {
        let splits = entry.splits.iter().map(|split| match split.images {
            Some(images) => format!("{} {images}", split.name),
            None => split.name.clone(),
        });
        vec![
            entry.name.clone(),
            entry.classes.to_string(),
            splits.collect::<Vec<_>>().join(", "),
            entry.bytes().map_or_else(|| "?".to_string(), bytes),
            entry
                .licence
                .clone()
                .unwrap_or_else(|| "not stated".to_string()),
            on_disk(entry.installed(&directory).is_some()),
        ]
    };
    output::table(
        &columns,
        &DatasetEntry::all().iter().map(row).collect::<Vec<_>>(),
    )
}
