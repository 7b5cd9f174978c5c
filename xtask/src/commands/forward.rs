//! `cargo xtask forward`: one raw batch through a network, to hold a port against PyTorch.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use candle_core::{Tensor, Var};
use clap::Args;
use cnn_core::Key;
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::Network;
use cnn_weights::{TensorFile, save_safetensors};

use crate::args::DType;
use crate::network_args::NetworkArgs;

/// Run one raw batch, without preprocessing, and write what the network gives
///
/// Reads the tensor `input` (N,C,H,W) and writes `logits`; with --stages also `stage0`…; with
/// --grad also `grad.input` and `grad.<parameter>` of sum(logits · upstream), `upstream` being a
/// tensor of the input file.
#[derive(Debug, Args)]
pub(crate) struct Forward {
    #[command(flatten)]
    network: NetworkArgs,

    /// A safetensors file with the tensor `input`, and `upstream` for --grad
    #[arg(long, value_name = "FILE")]
    input: PathBuf,

    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Training mode: batch statistics in batch-norm, dropout drawn from --seed
    #[arg(long)]
    train: bool,

    /// Also write the output of each stage
    #[arg(long)]
    stages: bool,

    /// Also write the gradients
    #[arg(long)]
    grad: bool,

    /// Element type of the computation
    #[arg(long, value_enum, default_value_t = DType::F32)]
    dtype: DType,
}

impl Forward {
    pub(crate) fn run(&self) -> Result<()> {
        let mut network = self.network.load_or_build(self.dtype, None)?;
        if self.grad {
            network.rebuild(Mode::Train)?;
        }
        let file = TensorFile::open(&self.input)?;
        let input = self.tensor(&file, "input")?;
        let outputs = self.compute(&network, &input, &file)?;
        save_safetensors(&self.output, &outputs, &BTreeMap::new())?;
        eprintln!(
            "wrote {} tensors to {}",
            outputs.len(),
            self.output.display()
        );
        Ok(())
    }

    fn compute(
        &self,
        network: &Network,
        input: &Tensor,
        file: &TensorFile,
    ) -> Result<Vec<(String, Tensor)>> {
        let key = Key::new(self.network.seed).stream("forward");
        let cx = if self.train {
            Context::train(key)
        } else {
            Context::eval()
        };
        let input = if self.grad {
            Var::from_tensor(input)?.as_tensor().clone()
        } else {
            input.clone()
        };
        let model = network.model();
        let stages = model.forward_stages(&FeatureMap::from_nchw(&input)?, &cx)?;
        let last = stages.len() - 1;
        let logits = model.forward_head(&model.forward_from(last, &stages[last], &cx)?, &cx)?;
        let mut outputs = vec![("logits".to_string(), logits.detach())];
        if self.stages {
            for (index, stage) in stages.iter().enumerate() {
                outputs.push((format!("stage{index}"), stage.detach().to_nchw()?));
            }
        }
        if self.grad {
            let upstream = self.tensor(file, "upstream")?;
            if upstream.dims() != logits.dims() {
                bail!(
                    "`upstream` has shape {:?}, expected that of the logits, {:?}",
                    upstream.dims(),
                    logits.dims()
                );
            }
            let grads = (&logits * upstream)?.sum_all()?.backward()?;
            let named = network
                .store()
                .trainable()
                .into_iter()
                .map(|(name, var)| (name, var.as_tensor().clone()));
            for (name, tensor) in std::iter::once(("input".to_string(), input)).chain(named) {
                let grad = grads
                    .get(&tensor)
                    .with_context(|| format!("no gradient reached `{name}`"))?;
                outputs.push((format!("grad.{name}"), grad.detach()));
            }
        }
        Ok(outputs)
    }

    fn tensor(&self, file: &TensorFile, name: &str) -> Result<Tensor> {
        let tensor = file
            .tensor(name)
            .with_context(|| self.input.display().to_string())?;
        Ok(tensor.to_dtype(self.dtype.into())?)
    }
}
