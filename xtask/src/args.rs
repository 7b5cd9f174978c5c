//! Arguments that several commands share.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use cnn_models::{LoadOptions, ModelConfig, Network};
use serde::{Deserialize, Serialize};

/// Marks an error as the arguments' fault: exit status 2.
#[derive(Debug)]
pub(crate) struct Unusable;

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unusable arguments")
    }
}

impl std::error::Error for Unusable {}

/// Marks that the user stopped the program, with its state saved: exit status 130.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Whether the arguments are at fault, rather than what happened at run time.
pub(crate) fn is_unusable(error: &anyhow::Error) -> bool {
    use cnn_models::Error::{Argument, Contradiction, NoArchitecture, UnknownModel};
    let at_fault = |error: &cnn_models::Error| {
        matches!(error, UnknownModel { .. } | Contradiction { .. } | NoArchitecture { .. } | Argument { .. })
    };
    error.downcast_ref::<Unusable>().is_some()
        || error.chain().any(|cause| cause.downcast_ref::<cnn_models::Error>().is_some_and(at_fault))
}

/// Element type of the computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DType {
    /// Single precision.
    F32,
    /// Double precision, the slow reference.
    F64,
}

impl From<DType> for candle_core::DType {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::F32,
            DType::F64 => Self::F64,
        }
    }
}

/// Which network.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// Registered name of the model (the command `models` lists them); needed for a bare weight file and for `--weights none`
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,

    /// A directory with config.json and weights, a run directory (its best epoch), a .safetensors, .pth, .pt, .th or .bin file, or `none` for fresh weights
    #[arg(long, value_name = "PATH", default_value = "none")]
    pub(crate) weights: String,

    /// Decides fresh weights
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,

    /// Number of threads; default all cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

impl NetworkArgs {
    /// Loads the network, or builds it with fresh weights, and sets the number of threads.
    pub(crate) fn load(&self, dtype: DType) -> Result<Network> {
        self.load_sized(dtype, None)
    }

    /// The same for another size of the input.
    pub(crate) fn load_sized(&self, dtype: DType, size: Option<Size>) -> Result<Network> {
        set_threads(self.threads)?;
        let input_size = size.map(|Size(size)| size);
        if self.weights != "none" {
            let (model, seed, dtype) = (self.model.clone(), self.seed, Some(dtype.into()));
            let options = LoadOptions { model, seed, dtype, input_size, ..LoadOptions::default() };
            let network = Network::load(Path::new(&self.weights), &options)?;
            note_unused(&network);
            return Ok(network);
        }
        let name =
            self.model.as_deref().context("name the network by --weights, --model, or both").context(Unusable)?;
        let config = ModelConfig { input_size, ..ModelConfig::default() };
        Ok(Network::with_dtype(name, &config, self.seed, dtype.into())?)
    }
}

/// Says that the network does not use all tensors of its file.
pub(crate) fn note_unused(network: &Network) {
    let file = network.weights_file().map(|file| file.display().to_string()).unwrap_or_default();
    let (unused, name) = (&network.report().unexpected, network.spec().name);
    if let Some(first) = unused.first() {
        eprintln!("note: {name} does not use all tensors of {file}: `{first}` is the first of {}", unused.len());
    }
}

/// Sets the number of threads that compute and decode; all cores without a number.
pub(crate) fn set_threads(threads: Option<u16>) -> Result<()> {
    if let Some(threads) = threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        pool.build_global().context("cannot start the threads")?;
    }
    Ok(())
}

/// Height and width of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Size(pub(crate) [usize; 2]);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse::<usize>().ok().filter(|side| (1..=8192).contains(side));
        let sides = match text.split_once('x') {
            Some((height, width)) => side(height).zip(side(width)),
            None => side(text).map(|side| (side, side)),
        };
        let (height, width) = sides.ok_or("expected a size as 224 or 192x256, each side at most 8192")?;
        Ok(Self([height, width]))
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(Size([height, width]): Size) -> Self {
        format!("{height}x{width}")
    }
}

/// A number for which `accepted` holds, else an error that says what is expected.
fn number(text: &str, expected: &str, accepted: impl Fn(f64) -> bool) -> Result<f64, String> {
    text.parse().ok().filter(|&number| accepted(number)).ok_or_else(|| format!("expected {expected}"))
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    number(text, "a number from 0 to below 1", |share| (0.0..1.0).contains(&share))
}

pub(crate) fn share_or_all(text: &str) -> Result<f64, String> {
    number(text, "a number from 0 to 1", |share| (0.0..=1.0).contains(&share))
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    number(text, "a finite number above 0", |number| number > 0. && number.is_finite())
}

pub(crate) fn not_negative(text: &str) -> Result<f64, String> {
    number(text, "a finite number, 0 or above", |number| number >= 0. && number.is_finite())
}

pub(crate) fn mixing_alpha(text: &str) -> Result<f64, String> {
    let accepted = |alpha| alpha == 0. || (0.001..=1000.0).contains(&alpha);
    number(text, "0, which is off, or a number from 0.001 to 1000", accepted)
}

pub(crate) fn count(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "expected a whole number, at least 1".to_string())
}
