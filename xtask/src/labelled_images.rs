//! Which labelled images a classifier is tried on.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use cnn_data::{CachedDataset, Dataset, Split, Subset};
use cnn_models::Network;
use cnn_transfer::match_classes;
use serde::Serialize;

use crate::datasets::Source;
use crate::inference;
use crate::network_args::NetworkArgs;
use crate::os_text::PathOrName;
use crate::run_images::{RunImages, RunPart};

/// Decoded photos are kept up to so many bytes: they are read more than once.
const KEPT: usize = 1 << 30;

/// Labelled images, and how many of them.
#[derive(Debug, Args)]
pub(crate) struct LabelledImages {
    /// Labelled images, as `evaluate` takes them; for the directory of a run default the images
    /// that it kept for this
    #[arg(long, value_name = "PATH", value_parser = PathOrName)]
    pub(crate) data: Option<String>,

    /// Which part of the dataset, or of the run's images: train, val or test; may be left out where
    /// there is only one
    #[arg(long)]
    pub(crate) split: Option<Split>,

    /// Images at most, spread evenly over the dataset; 0 for all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) samples: usize,
}

/// Which network is tried on which images, as the run directory says it.
#[derive(Serialize)]
pub(crate) struct Asked<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    weights: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    use_ema: bool,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Split>,
    samples: usize,
}

impl LabelledImages {
    /// What was asked, for the run directory.
    pub(crate) fn asked<'a>(&'a self, network: &'a NetworkArgs) -> Asked<'a> {
        Asked {
            model: network.model.as_deref(),
            weights: network.weights(),
            use_ema: network.use_ema,
            seed: network.seed,
            data: self.data.as_deref(),
            split: self.split,
            samples: self.samples,
        }
    }

    /// Where the images are, and at most so many of them as were asked for.
    pub(crate) fn open(&self, weights: &str) -> Result<(String, Arc<dyn Dataset>)> {
        let (data, whole) = match &self.data {
            Some(data) => {
                let source = Source::parse(data)?;
                inference::print_notes(&source.notes()?);
                (data.clone(), source.open(self.split)?)
            }
            None => {
                let RunPart { dataset, data, .. } =
                    RunImages::instead_of_data(weights, self.split)?;
                (data, dataset)
            }
        };
        Ok((data, some_of(whole, self.samples)?))
    }
}

/// At most so many images, spread evenly; 0 for all. What was decoded is kept.
pub(crate) fn some_of(whole: Arc<dyn Dataset>, samples: usize) -> Result<Arc<dyn Dataset>> {
    let some: Arc<dyn Dataset> = if samples == 0 || samples >= whole.len() {
        whole
    } else {
        Arc::new(Subset::spread(whole, samples)?)
    };
    Ok(Arc::new(CachedDataset::new(some, KEPT)))
}

/// Which of a network's classes images show.
pub(crate) struct NetworkLabels {
    dataset: Arc<dyn Dataset>,
    /// The network's class of each of the dataset's.
    numbers: Vec<Option<usize>>,
    /// How the classes were matched, where that is not plain.
    pub(crate) note: Option<String>,
}

impl NetworkLabels {
    pub(crate) fn new(network: &Network, dataset: Arc<dyn Dataset>) -> Result<Self> {
        let matched = match_classes(network, dataset.as_ref())?;
        Ok(Self {
            dataset,
            numbers: matched.numbers,
            note: matched.note,
        })
    }

    /// The class of an image; `None` where the network has none for it.
    pub(crate) fn of(&self, index: usize) -> Result<Option<u32>, cnn_robust::Error> {
        let class = self.dataset.label(index);
        let number = class.and_then(|class| self.numbers.get(class).copied().flatten());
        Ok(number.map(|number| number as u32))
    }
}
