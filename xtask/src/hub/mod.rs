//! Weights and datasets by name: what is not on the disk is downloaded once, with progress on
//! standard error.

mod datasets;
mod progress;
mod weights;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use cnn_hub::{Hub, HubConfig};

use crate::args::Unusable;

pub(crate) use datasets::{
    data_directory, dataset, dataset_list, install, on_disk, print_datasets,
};
pub(crate) use progress::{Transfers, bytes};
pub(crate) use weights::{Published, Weights, name_of, names_of, weights};

static OFFLINE: AtomicBool = AtomicBool::new(false);

/// Asks nobody from now on, as `--offline` says.
pub(crate) fn stay_offline() {
    OFFLINE.store(true, Ordering::Relaxed);
}

/// Whether `--offline` says so, rather than the environment.
pub(crate) fn is_told_to_stay_offline() -> bool {
    OFFLINE.load(Ordering::Relaxed)
}

/// The hub as the environment and `--offline` say.
pub(crate) fn hub() -> Result<Hub> {
    let config = HubConfig::from_env().context(Unusable)?;
    let config = if is_told_to_stay_offline() {
        config.with_offline(true)
    } else {
        config
    };
    Ok(Hub::new(config)?)
}
