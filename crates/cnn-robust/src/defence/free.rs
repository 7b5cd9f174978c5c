//! Free adversarial training (Shafahi et al. 2019, arXiv:1904.12843): each backward pass gives the
//! gradient of the weights and of the images, and each batch is used several times.

use candle_core::{DType, Tensor, Var};
use cnn_data::Batch;
use cnn_layers::{Init, Mode, Store, backward};
use cnn_train::{Classification, Error, GradientStep, Gradients, StepReport, Update};

use super::adversarial_step::other;
use crate::attack::sign;
use crate::{Images, Normalization, Threat};

/// The name of the change among what a run keeps.
const CHANGE: &str = "change";

/// The change of the images, which goes on from batch to batch.
pub(super) struct Replays {
    store: Store,
    count: usize,
    threat: Threat,
}

impl Replays {
    /// Uses each batch of images of this shape, `[N, H, W, C]`, so many times.
    pub(super) fn new(count: usize, threat: Threat, shape: &[usize; 4]) -> Result<Self, Error> {
        let store = Store::with_dtype(0, DType::F64, &candle_core::Device::Cpu);
        let root = store.builder(Mode::Eval);
        root.buffer(CHANGE, shape, Init::ZEROS)?;
        Ok(Self {
            store,
            count,
            threat,
        })
    }

    pub(super) fn kept(&self) -> Store {
        self.store.clone()
    }

    /// Updates the weights and the change as often as the batch is used.
    pub(super) fn step(
        &self,
        step: &GradientStep,
        normalization: &Normalization,
        task: &Classification,
        batches: &[Batch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, Error> {
        let [batch] = batches else {
            let found = format!("{} for one update", batches.len());
            return Err(Error::argument("batches", found, "one, for free training"));
        };
        let images = normalization.images(&batch.images).map_err(other)?;
        let mut report = StepReport::default();
        for replay in 0..self.count {
            let change = self.change(batch.len())?;
            let attacked = images.plus(&change, 1.).within_unit();
            let inputs = normalization.inputs(&attacked, batch.images.dtype());
            let inputs = Var::from_tensor(&inputs.map_err(other)?)?;
            let outputs = task.outputs(&inputs, &update.context(replay))?;
            let losses = task.losses(&outputs, batch)?;
            let loss = losses.total.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            if !loss.is_finite() {
                return Err(Error::not_finite("the loss"));
            }
            let mut gradients = backward(&losses.total)?;
            drop(losses.total);
            let by_images = gradients.remove(&inputs);
            let by_weights = Gradients::take(&mut gradients, update.optimizer);
            report = StepReport {
                samples: batch.len(),
                values: std::iter::once(("loss".to_string(), loss))
                    .chain(losses.named)
                    .collect(),
                gradient_norm: step.update(by_weights, update)?,
            };
            if let Some(gradient) = by_images {
                let gradient = normalization.gradient(&gradient.detach()).map_err(other)?;
                self.ascend(&change, &gradient)?;
            }
        }
        Ok(report)
    }

    /// The change of a batch of so many images, which may be fewer than others have.
    fn change(&self, images: usize) -> Result<Images, Error> {
        let change = self.store.get(CHANGE)?;
        let most = change.dims()[0];
        if images > most {
            let expected = format!("at most {most}, as the step was made for");
            return Err(Error::argument("batch_size", images, expected));
        }
        let change = change.narrow(0, 0, images)?;
        Images::from_nhwc(&change).map_err(other)
    }

    fn ascend(&self, change: &Images, gradient: &Images) -> Result<(), Error> {
        let eps = self.threat.eps;
        let moved = change.plus(&gradient.map(sign), eps);
        let moved = moved.map(|value| value.clamp(-eps, eps));
        let moved = moved.to_nhwc(DType::F64).map_err(other)?;
        let whole = self.store.get(CHANGE)?;
        let rest = whole.dims()[0] - moved.dims()[0];
        let rest = whole.narrow(0, moved.dims()[0], rest)?;
        Ok(self.store.set(CHANGE, &Tensor::cat(&[moved, rest], 0)?)?)
    }
}
