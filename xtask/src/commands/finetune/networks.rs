//! The network that fine-tuning begins with.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use cnn_data::Dataset;
use cnn_models::{
    DetectionNetwork, Kind, LoadOptions, ModelConfig, ModelKind, ModelSpec, Network, NetworkOf,
    SegmentationNetwork, find,
};

use super::Finetune;
use crate::args::Unusable;
use crate::hub::{self, Weights};
use crate::network_args::model_choice;
use crate::{detection, segmentation};

/// What networks of a kind begin as where nothing is said.
struct Start<'a> {
    /// The model of fresh weights.
    fresh: &'a str,
    /// The model that a classifier's weights become the backbone of.
    over: &'a str,
    /// Rows and columns of the input of a model that is built anew.
    size: &'a dyn Fn(&ModelSpec) -> [usize; 2],
    /// Those of a network that is loaded; `None` for its own.
    loaded_size: Option<[usize; 2]>,
}

impl Finetune {
    /// What the network is for.
    pub(super) fn kind(&self) -> Result<Kind> {
        if let Some(task) = self.task {
            return Ok(task.into());
        }
        if let Some(model) = &self.model {
            return Ok(model_choice(model)?.0.kind());
        }
        if self.weights == "none" {
            return Ok(Kind::Classification);
        }
        let weights = self.weights(&self.weights)?;
        let found = match weights.spec {
            Some(spec) => Some(spec.kind()),
            // What cannot be read is said when it is loaded.
            None => cnn_models::kind_of(&weights.path).unwrap_or(None),
        };
        Ok(found.unwrap_or(Kind::Classification))
    }

    /// What weights are for; `None` where they do not say.
    fn kind_of(&self, weights: &Weights) -> Result<Option<Kind>> {
        Ok(match weights.spec {
            Some(spec) => Some(spec.kind()),
            None => cnn_models::kind_of(&weights.path)?,
        })
    }

    /// Whether the weights are a classifier's, which becomes the backbone of another network.
    pub(super) fn is_over_classifier(&self) -> Result<bool> {
        if self.weights == "none" {
            return Ok(false);
        }
        // What cannot be read is said when it is loaded.
        let weights = self.weights(&self.weights)?;
        Ok(self.kind_of(&weights).unwrap_or(None) == Some(Kind::Classification))
    }

    /// A network that finds objects of the data's classes.
    pub(super) fn detection_network(&self, dataset: &dyn Dataset) -> Result<DetectionNetwork> {
        let start = Start {
            fresh: detection::MODEL,
            over: detection::OVER_CLASSIFIER,
            size: &|spec| detection::input_size(dataset, spec),
            loaded_size: None,
        };
        self.started(dataset.classes(), &start)
    }

    /// A network for pixels of these classes.
    pub(super) fn segmentation_network(
        &self,
        classes: &[String],
        dataset: &dyn Dataset,
    ) -> Result<SegmentationNetwork> {
        let size = segmentation::default_size(dataset);
        let start = Start {
            fresh: segmentation::OVER_CLASSIFIER,
            over: segmentation::OVER_CLASSIFIER,
            size: &|_| size,
            loaded_size: Some(size),
        };
        self.started(classes, &start)
    }

    /// The weights' own network with a new head, one over a classifier, or one of fresh weights.
    fn started<M: ModelKind + ?Sized>(
        &self,
        classes: &[String],
        start: &Start<'_>,
    ) -> Result<NetworkOf<M>> {
        let chosen = self.model.as_deref().map(model_choice).transpose()?;
        let size = self.training.size.map(|size| size.0);
        let seed = self.training.seed;
        // The model that is named, or else this one, and what it is built with.
        let model_or = |name: &str| -> Result<(&'static ModelSpec, ModelConfig)> {
            let (spec, config) = match &chosen {
                Some(chosen) => chosen.clone(),
                None => (find(name)?, ModelConfig::default()),
            };
            let config = ModelConfig {
                num_classes: Some(classes.len()),
                input_size: Some(size.unwrap_or_else(|| (start.size)(spec))),
                ..config
            };
            Ok((spec, config))
        };
        let mut network = if self.weights == "none" {
            let (spec, config) = model_or(start.fresh)?;
            NetworkOf::of(*spec, &config, seed)?
        } else {
            let weights = self.weights(&self.weights)?;
            let options = LoadOptions {
                spec: weights.spec,
                moving_average: self.use_ema,
                ..LoadOptions::default()
            };
            if self.kind_of(&weights)? == Some(Kind::Classification) {
                let classifier = Network::load(&weights.path, &options)?;
                let (spec, config) = model_or(start.over)?;
                NetworkOf::over(*spec, &classifier, &config, seed)?
            } else {
                let options = LoadOptions {
                    spec: chosen.as_ref().map(|(spec, _)| **spec).or(weights.spec),
                    num_classes: Some(classes.len()),
                    new_head: true,
                    input_size: size.or(start.loaded_size),
                    seed,
                    ..options
                };
                NetworkOf::load(&weights.path, &options)?
            }
        };
        network.set_label_names(classes.to_vec())?;
        Ok(network)
    }

    /// The pretrained network with a new head.
    pub(super) fn network(&self, classes: usize) -> Result<Network> {
        let input_size = self.training.size.map(|size| size.0);
        if self.weights == "none" {
            let name = self
                .model
                .as_deref()
                .context("`--weights none` needs --model")
                .context(Unusable)?;
            let config = ModelConfig {
                num_classes: Some(classes),
                input_size,
                ..ModelConfig::default()
            };
            return Ok(Network::new(name, &config, self.training.seed)?);
        }
        let weights = self.weights(&self.weights)?;
        let options = LoadOptions {
            spec: self
                .model
                .as_deref()
                .map(find)
                .transpose()?
                .copied()
                .or(weights.spec),
            num_classes: Some(classes),
            new_head: true,
            input_size,
            seed: self.training.seed,
            moving_average: self.use_ema,
            ..LoadOptions::default()
        };
        Ok(Network::load(&weights.path, &options)?)
    }

    pub(super) fn weights(&self, text: &str) -> Result<Weights> {
        let model = self.model.as_deref();
        let name = model.and_then(|model| model.split(':').next());
        hub::weights(text, name, &self.caches())
    }

    /// What runs share.
    pub(super) fn caches(&self) -> PathBuf {
        self.training.out.join("cache")
    }
}
