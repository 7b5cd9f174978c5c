//! Arguments that several commands share.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use cnn_models::{LoadOptions, ModelConfig, Network};

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
    /// Registered name of the model (see `cargo xtask models`); needed for a bare weight file and for `--weights none`
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
        set_threads(self.threads)?;
        if self.weights != "none" {
            let (model, seed, dtype) = (self.model.clone(), self.seed, Some(dtype.into()));
            let options = LoadOptions { model, seed, dtype, ..LoadOptions::default() };
            let network = Network::load(Path::new(&self.weights), &options)?;
            for name in &network.report().unexpected {
                eprintln!("note: {} has a tensor `{name}` that {} does not use", self.weights, network.spec().name);
            }
            return Ok(network);
        }
        let name =
            self.model.as_deref().context("name the network by --weights, --model, or both").context(Unusable)?;
        Ok(Network::with_dtype(name, &ModelConfig::default(), self.seed, dtype.into())?)
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
