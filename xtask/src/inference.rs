//! A network over a dataset, with its progress and its notes on standard error.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use cnn_core::Key;
use cnn_data::{Dataset, Image, Skipped, Transform};
use cnn_models::Network;
use cnn_transfer::{Measured, MeasuredWithPart};

use crate::memory::{self, Workload};
use crate::output::Progress;

/// Measures the network on a labelled dataset.
pub(crate) fn measure(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
) -> Result<Measured> {
    memory::check(network, batch, Workload::Forward)?;
    with_progress(network.spec().name, dataset.len(), |progress| {
        cnn_transfer::measure(network, dataset, batch, progress)
    })
}

/// The same of images that were changed before; `what` is shown beside the progress.
pub(crate) fn measure_transformed(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
    what: &str,
    transform: (Arc<dyn Transform>, Key),
) -> Result<Measured> {
    with_progress(what, dataset.len(), |progress| {
        cnn_transfer::measure_transformed(network, dataset, batch, transform, progress)
    })
}

/// The same for the whole and for a part of the samples, in one pass.
pub(crate) fn measure_with_part(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
    is_part: &[bool],
) -> Result<MeasuredWithPart> {
    let is_part = |index: usize| is_part[index];
    memory::check(network, batch, Workload::Forward)?;
    with_progress(network.spec().name, dataset.len(), |progress| {
        cnn_transfer::measure_with_part(network, dataset, batch, is_part, progress)
    })
}

/// Shows the progress of a pass over so many images.
pub(crate) fn with_progress<T>(
    what: &str,
    images: usize,
    pass: impl FnOnce(&mut dyn FnMut(usize)) -> Result<T, cnn_transfer::Error>,
) -> Result<T> {
    let mut progress = Progress::new(what, images);
    let result = pass(&mut |images| progress.advance(images))?;
    progress.finish();
    Ok(result)
}

/// Goes over photos with their numbers and paths, shows the progress, and gives back those that
/// cannot be read.
pub(crate) fn for_each_photo(
    what: &str,
    photos: &dyn Dataset,
    mut each: impl FnMut(usize, &str, Image) -> Result<()>,
) -> Result<Vec<Skipped>> {
    let mut skipped = Vec::new();
    let mut progress = Progress::new(what, photos.len());
    for index in 0..photos.len() {
        let path = photos.id(index);
        match photos.read(index) {
            Ok(sample) => each(index, &path, sample.image)?,
            Err(error) => {
                let reason = error.to_string();
                skipped.push(Skipped { path, reason });
            }
        }
        progress.advance(1);
    }
    progress.finish();
    Ok(skipped)
}

/// What the pictures of a photo are called, which no two photos share.
pub(crate) fn picture_stem(index: usize, path: &str) -> String {
    let stem = Path::new(path).file_stem().unwrap_or_default();
    format!("{index:04}-{}", stem.to_string_lossy())
}

/// Lists what was skipped on standard error.
pub(crate) fn print_skipped(skipped: &[Skipped]) {
    for Skipped { path, reason } in skipped {
        eprintln!("skipped {path}: {reason}");
    }
    if !skipped.is_empty() {
        eprintln!("skipped {} in all", skipped.len());
    }
}

/// Says what whoever reads the figures has to know.
pub(crate) fn print_notes(notes: &[String]) {
    for note in notes {
        eprintln!("note: {note}");
    }
}
