//! Adversarial weight perturbation: AWP (Wu et al. 2020, arXiv:2004.05884).

use candle_core::{Tensor, Var};
use cnn_train::{Error, GradientStep, Task, Update};

/// Moves each weight of two or more dimensions against the training: by a share of its size, along
/// the gradient of the loss.
pub(super) struct WeightPerturbation {
    pub(super) share: f64,
}

/// What the weights were.
#[derive(Default)]
pub(super) struct Undo {
    before: Vec<(Var, Tensor)>,
}

impl WeightPerturbation {
    /// Moves the weights, until [`Undo::restore`].
    pub(super) fn apply<T: Task>(
        &self,
        step: &GradientStep,
        task: &T,
        batches: &[T::Batch],
        update: &Update<'_>,
    ) -> Result<Undo, Error> {
        let mut undo = Undo::default();
        if self.share == 0. {
            return Ok(undo);
        }
        let Some((gradients, _)) = step.gradients(task, batches, update)? else {
            return Ok(undo);
        };
        for (name, var) in update.optimizer.parameters() {
            let Some(gradient) = gradients.get(name).filter(|_| var.rank() > 1) else {
                continue;
            };
            if let Err(error) = self.move_weight(var, gradient, &mut undo) {
                undo.restore()?;
                return Err(error);
            }
        }
        Ok(undo)
    }

    fn move_weight(&self, var: &Var, gradient: &Tensor, undo: &mut Undo) -> Result<(), Error> {
        let factor = self.share * norm(var)? / norm(gradient)?;
        if factor.is_finite() {
            // A copy: `set` writes into the variable's own memory.
            undo.before.push((var.clone(), var.copy()?));
            var.set(&(var.as_tensor() + (gradient * factor)?)?.detach())?;
        }
        Ok(())
    }
}

impl Undo {
    /// Puts the weights back.
    pub(super) fn restore(self) -> Result<(), Error> {
        for (var, before) in self.before {
            var.set(&before)?;
        }
        Ok(())
    }
}

fn norm(tensor: &Tensor) -> Result<f64, Error> {
    let squares = tensor.sqr()?.sum_all()?.to_dtype(candle_core::DType::F64)?;
    Ok(squares.to_scalar::<f64>()?.sqrt())
}
