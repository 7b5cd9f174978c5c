//! A raw batch under attack, to hold an attack against another program.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::{DType, Device, Tensor};
use cnn_core::Key;
use cnn_robust::attack::AttackBatch;
use cnn_robust::{
    AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits, PixelClassifier, RecordedDraws,
};
use cnn_weights::{TensorFile, save_safetensors};

use super::{Attack, COMMAND};

/// Attacks the batch of a file and writes what came of it.
pub(super) fn run(command: &Attack, input: &Path, output: &Path) -> Result<()> {
    let settings = command.options.settings()?;
    let network = command.network.load_or_build(command.dtype, None)?;
    let dtype: DType = command.dtype.into();
    let model = PixelClassifier::new(network.model(), network.preprocessing())?.with_dtype(dtype);
    let file = TensorFile::open(input)?;
    let numbers = |name: &str| -> Result<Vec<u32>> {
        let tensor = file
            .tensor(name)
            .with_context(|| input.display().to_string())?;
        Ok(tensor.to_dtype(DType::U32)?.to_vec1()?)
    };
    let images = file
        .tensor("images")
        .with_context(|| input.display().to_string())?;
    let key = Key::new(command.network.seed).stream(COMMAND);
    let mut batch =
        AttackBatch::new(Images::from_nchw(&images)?, numbers("labels")?)?.with_key(key);
    if file.names().any(|name| name == "targets") {
        batch = batch.with_targets(numbers("targets")?)?;
    }
    let draws = draws(&file)?;
    if let Some(draws) = &draws {
        batch = batch.with_draws(draws);
    }
    let mut tensors = Vec::new();
    for named in &command.options.attack {
        let recorder = Recorder {
            model: &model,
            queried: RefCell::default(),
        };
        let attack = named
            .build(&settings, &model, std::slice::from_ref(&batch))
            .with_context(|| named.name)?;
        let found = attack.attack().run(&recorder, &batch)?;
        let successes = batch.successes(&model.logits(&found)?);
        let successes: Vec<u8> = successes.into_iter().map(u8::from).collect();
        let count = successes.len();
        let success = Tensor::from_vec(successes, count, &Device::Cpu)?;
        tensors.push((format!("{}.adversarial", named.name), found.to_nchw(dtype)?));
        tensors.push((format!("{}.success", named.name), success));
        for (step, queried) in recorder.queried.take().into_iter().enumerate() {
            let name = format!("{}.queried.{step}", named.name);
            tensors.push((name, queried.to_nchw(dtype)?));
        }
    }
    save_safetensors(output, &tensors, &BTreeMap::new())?;
    eprintln!("wrote {} tensors to {}", tensors.len(), output.display());
    Ok(())
}

/// The random numbers of the file, `draw.NAME.RESTART.STEP`; `None` if it has none.
fn draws(file: &TensorFile) -> Result<Option<RecordedDraws>> {
    let mut draws = None;
    for name in file.names() {
        let parts: Vec<&str> = name.split('.').collect();
        let ["draw", of, restart, step] = parts[..] else {
            continue;
        };
        let number = |text: &str| {
            let expected = || format!("{name}: expected draw.NAME.RESTART.STEP");
            text.parse::<usize>().with_context(expected)
        };
        let tensor = file.tensor(name)?;
        let rows = match tensor.rank() {
            4 => Images::from_nchw(&tensor)?,
            _ => {
                let (count, values) = tensor.flatten_from(1)?.dims2()?;
                let values = tensor.reshape((count, 1, 1, values))?;
                Images::from_nhwc(&values)?
            }
        };
        let so_far: RecordedDraws = draws.take().unwrap_or_default();
        draws = Some(so_far.with(of, number(restart)?, number(step)?, rows));
    }
    Ok(draws)
}

/// A model that keeps the batches whose gradient was asked for.
struct Recorder<'a> {
    model: &'a dyn AttackedModel,
    queried: RefCell<Vec<Images>>,
}

impl AttackedModel for Recorder<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.model.logits(images)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        self.queried.borrow_mut().push(images.clone());
        self.model.gradient(images, loss)
    }
}
