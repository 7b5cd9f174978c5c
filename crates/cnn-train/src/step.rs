//! Forward, backward, update.

use cnn_core::Key;
use cnn_layers::Context;

use crate::{Error, Gradients, Optimizer, Rates, Task};

/// How one update is made from its batches.
pub trait Step<T: Task> {
    /// Computes gradients and updates the parameters.
    ///
    /// # Errors
    /// [`Error::NotFinite`] before anything is updated if a value is not finite, and what the task reports.
    fn step(&mut self, task: &T, batches: &[T::Batch], update: &mut Update<'_>) -> Result<StepReport, Error>;
}

/// What a step works with.
pub struct Update<'a> {
    /// The optimiser of the trained parameters.
    pub optimizer: &'a mut Optimizer,
    /// The rates of this update.
    pub rates: Rates,
    /// The source of all that is random in this update.
    pub key: Key,
}

/// What an update reports: averages over its samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepReport {
    /// How many samples it used.
    pub samples: usize,
    /// The loss, then the task's named values.
    pub values: Vec<(String, f64)>,
    /// The global norm of the gradients, before clipping.
    pub gradient_norm: f64,
}

/// Plain gradient descent: the gradients of one or several batches, averaged over their samples, clipped where asked, one update.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GradientStep {
    /// Scales the gradients so that their global norm is at most this.
    pub clip_norm: Option<f64>,
    /// Bounds each gradient's magnitude.
    pub clip_value: Option<f64>,
}

impl<T: Task> Step<T> for GradientStep {
    fn step(&mut self, task: &T, batches: &[T::Batch], update: &mut Update<'_>) -> Result<StepReport, Error> {
        let samples: usize = batches.iter().map(|batch| task.samples(batch)).sum();
        let mut report = StepReport { samples, ..StepReport::default() };
        let mut sum: Option<Gradients> = None;
        for (number, batch) in batches.iter().enumerate() {
            let weight = task.samples(batch) as f64 / samples as f64;
            let losses = task.loss(batch, &Context::train(update.key.at(number as u64)))?;
            let loss = losses.total.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
            report.add(weight, std::iter::once(("loss".to_string(), loss)).chain(losses.named));
            if !loss.is_finite() {
                return Err(Error::not_finite("the loss"));
            }
            let mut store = losses.total.backward()?;
            // The graph holds every activation: it goes before anything else is allocated.
            drop(losses.total);
            let gradients = Gradients::take(&mut store, update.optimizer);
            match &mut sum {
                None if batches.len() == 1 => sum = Some(gradients),
                None => sum = Some(Gradients::scaled(gradients, weight)?),
                Some(sum) => sum.add(&gradients, weight)?,
            }
        }
        let Some(mut gradients) = sum else { return Ok(report) };
        report.gradient_norm = gradients.norm()?;
        if !report.gradient_norm.is_finite() {
            let parameter = gradients.first_non_finite()?.unwrap_or("the sum of squares").to_string();
            return Err(Error::not_finite(format!("the gradient of {parameter}")));
        }
        if let Some(max) = self.clip_value {
            gradients.clip_value(max)?;
        }
        if let Some(max) = self.clip_norm {
            gradients.clip_norm(max)?;
        }
        update.optimizer.step(&gradients, &update.rates)?;
        Ok(report)
    }
}

impl StepReport {
    fn add(&mut self, weight: f64, values: impl Iterator<Item = (String, f64)>) {
        for (position, (name, value)) in values.enumerate() {
            match self.values.get_mut(position) {
                Some((_, sum)) => *sum += weight * value,
                None => self.values.push((name, weight * value)),
            }
        }
    }
}
