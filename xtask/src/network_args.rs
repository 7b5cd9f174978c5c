//! Which network a command is about, and how it is loaded.

use std::cell::OnceCell;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use cnn_models::{Kind, LoadOptions, ModelConfig, ModelKind, ModelSpec, Network, NetworkOf};

use crate::args::{DType, Size, Unusable, set_threads};
use crate::hub::{self, Weights};
use crate::os_text::PathOrName;
use crate::output;

/// Which network.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// Registered name of the model (the command `models` lists them); needed for a bare weight
    /// file and for `--weights none`
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,

    /// A directory with config.json and weights, a run directory (its best epoch), a .safetensors,
    /// .pth, .pt, .th or .bin file; a published name as `resnet18.a1_in1k`, `hf:owner/name`, or an
    /// address, which are downloaded once; `builtin`, a ResNet-20 that this project trained on
    /// CIFAR-10; or `none` for fresh weights
    #[arg(long, value_name = "PATH", value_parser = PathOrName)]
    pub(crate) weights: Option<String>,

    /// Take the moving average of the weights that a checkpoint keeps beside them (`state_dict_ema`,
    /// `model_ema`, `ema`)
    #[arg(long)]
    pub(crate) use_ema: bool,

    /// Decides fresh weights, and whatever a command draws at random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,

    /// Number of threads; default all cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// The weights, once they are on the disk.
    #[arg(skip)]
    resolved: OnceCell<Weights>,
}

/// Where `builtin` is unpacked by commands that make no run directory.
pub(crate) const CACHES: &str = "runs/cache";

/// A model and what it is built with: `NAME` or `NAME:key=value,key=value`.
pub(crate) fn model_choice(text: &str) -> Result<(&'static ModelSpec, ModelConfig)> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let spec = cnn_models::find(name)?;
    let mut config = ModelConfig::default();
    for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
        let (key, value) = setting
            .split_once('=')
            .with_context(|| format!("--model {text}: `{setting}` is not key=value"))
            .context(Unusable)?;
        // A number or a truth value as such, anything else as a text.
        let value: serde_json::Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        config = config.with_arg(key.trim(), value);
    }
    Ok((spec, config))
}

/// What `--weights` takes.
const WEIGHTS: &str = "a directory with config.json and weights, a run directory, \
                       a .safetensors, .pth, .pt, .th or .bin file, \
                       a published name as resnet18.a1_in1k, hf:owner/name, or an address";

impl NetworkArgs {
    /// Loads the network for a command whose answer says nothing without trained weights: fresh
    /// ones must be asked for. Sets the number of threads.
    pub(crate) fn load(&self, dtype: DType) -> Result<Network> {
        self.load_sized(dtype, None)
    }

    /// The same of any kind, and for another size of the input.
    pub(crate) fn load_sized<M: ModelKind + ?Sized>(
        &self,
        dtype: DType,
        size: Option<Size>,
    ) -> Result<NetworkOf<M>> {
        let Some(weights) = &self.weights else {
            return Err(self.without_weights());
        };
        let network = self.load_or_build_kind(dtype, size)?;
        if weights == "none" {
            eprintln!(
                "note: the weights of {} are random (--weights none), and so is the answer",
                network.spec().name
            );
        }
        Ok(network)
    }

    /// Loads the network, or builds it with fresh weights where none are named.
    pub(crate) fn load_or_build(&self, dtype: DType, size: Option<Size>) -> Result<Network> {
        self.load_or_build_kind(dtype, size)
    }

    /// What the network is for.
    pub(crate) fn kind(&self) -> Result<Kind> {
        if let Some(spec) = self.spec()? {
            return Ok(spec.kind());
        }
        if self.weights.is_none() || self.weights() == "none" {
            return Ok(Kind::Classification);
        }
        let weights = self.resolve()?;
        let of_spec = weights.spec.map(|spec| spec.kind());
        let found = match of_spec {
            Some(kind) => Some(kind),
            // What cannot be read is said when it is loaded.
            None => cnn_models::kind_of(&weights.path).unwrap_or(None),
        };
        Ok(found.unwrap_or(Kind::Classification))
    }

    fn load_or_build_kind<M: ModelKind + ?Sized>(
        &self,
        dtype: DType,
        size: Option<Size>,
    ) -> Result<NetworkOf<M>> {
        set_threads(self.threads)?;
        let input_size = size.map(|Size(size)| size);
        if self.weights() != "none" {
            let weights = self.resolve()?;
            let spec = self.spec()?.or(weights.spec);
            let seed = self.seed;
            let dtype = Some(dtype.into());
            let options = LoadOptions {
                spec,
                seed,
                dtype,
                input_size,
                moving_average: self.use_ema,
                ..LoadOptions::default()
            };
            let network = NetworkOf::load(&weights.path, &options)?;
            note_loaded(&network);
            return Ok(network);
        }
        let spec = self
            .spec()?
            .context("name the network by --weights, --model, or both")
            .context(Unusable)?;
        let config = ModelConfig {
            input_size,
            ..ModelConfig::default()
        };
        Ok(NetworkOf::with_dtype(
            spec,
            &config,
            self.seed,
            dtype.into(),
        )?)
    }

    /// The registered model that `--model` names.
    fn spec(&self) -> Result<Option<ModelSpec>> {
        let spec = self.model.as_deref().map(cnn_models::find).transpose()?;
        Ok(spec.copied())
    }

    /// What `--weights` says, `none` where it is not given; pinned to a commit once they are loaded.
    pub(crate) fn weights(&self) -> &str {
        match self.resolved.get() {
            Some(weights) => &weights.name,
            None => self.weights.as_deref().unwrap_or("none"),
        }
    }

    /// Whether weights or a model are named.
    pub(crate) fn has_weights(&self) -> bool {
        self.weights.is_some() || self.model.is_some()
    }

    /// Brings the weights to the disk.
    fn resolve(&self) -> Result<&Weights> {
        if let Some(weights) = self.resolved.get() {
            return Ok(weights);
        }
        let weights = hub::weights(self.weights(), self.model.as_deref(), Path::new(CACHES))?;
        Ok(self.resolved.get_or_init(|| weights))
    }

    /// The words that name the same network.
    pub(crate) fn arguments(&self) -> Vec<&str> {
        let model = self.model.iter().flat_map(|model| ["--model", model]);
        model
            .chain(["--weights", self.weights()])
            .chain(self.use_ema.then_some("--use-ema"))
            .collect()
    }

    /// Why a network without weights is refused, and where there are some.
    fn without_weights(&self) -> anyhow::Error {
        let Some(name) = &self.model else {
            return anyhow!("name the network by --weights: {WEIGHTS}").context(Unusable);
        };
        let spec = match cnn_models::find(name) {
            Ok(spec) => spec,
            Err(error) => return error.into(),
        };
        let random = "`--weights none` computes with random weights, which recognise nothing";
        anyhow!(
            "{name} needs --weights: {WEIGHTS}; {}; {random}",
            published(spec)
        )
        .context(Unusable)
    }
}

/// The names of the weights that are published for a model.
fn published(spec: &ModelSpec) -> String {
    let names = hub::names_of(spec);
    if names.is_empty() {
        let program = output::program();
        format!(
            "none are published for it, `{program} train --model {}` makes them",
            spec.name
        )
    } else {
        format!("published for it are {}", names.join(", "))
    }
}

/// Says which weights of a file the network has, where there was a choice, and that it does not use
/// all of them.
pub(crate) fn note_loaded<M: ModelKind + ?Sized>(network: &NetworkOf<M>) {
    let file = network
        .weights_file()
        .map(|file| file.display().to_string())
        .unwrap_or_default();
    let from = network.loaded_from();
    if !from.wrappers.is_empty() {
        eprintln!(
            "note: the names in {file} are read without `{}`",
            from.wrappers.join("` and `")
        );
    }
    if let Some(chosen) = &from.chosen
        && (chosen.is_average || !chosen.others.is_empty())
    {
        let kind = if chosen.is_average {
            ", a moving average"
        } else {
            ""
        };
        let others = match chosen.others.join("`, `") {
            others if others.is_empty() => String::new(),
            others => format!("; it also holds `{others}`"),
        };
        let hint = if chosen.is_average {
            ""
        } else {
            " (--use-ema takes a moving average)"
        };
        eprintln!(
            "note: the weights are `{}` of {file}{kind}{others}{hint}",
            chosen.entry
        );
    }
    let name = network.spec().name;
    if from.without_auxiliary {
        eprintln!(
            "note: {file} has no auxiliary heads of {name}, which are for its training; \
             it is built without them"
        );
    }
    let unused = &network.report().unexpected;
    if let Some(first) = unused.first() {
        eprintln!(
            "note: {name} does not use all tensors of {file}: `{first}` is the first of {}",
            unused.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_says_where_weights_are() {
        for spec in cnn_models::models() {
            let network = NetworkArgs {
                model: Some(spec.name.to_string()),
                weights: None,
                use_ema: false,
                seed: 0,
                threads: None,
                resolved: OnceCell::new(),
            };
            let said = format!("{:#}", network.without_weights());
            assert!(said.contains("--weights none"), "{said}");
            assert!(
                hub::names_of(spec).iter().all(|name| said.contains(name)),
                "{said}"
            );
            assert_eq!(
                said.contains("train --model"),
                hub::names_of(spec).is_empty(),
                "{said}"
            );
        }
    }
}
