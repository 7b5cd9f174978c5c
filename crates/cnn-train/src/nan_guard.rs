//! Where the first value appeared that is not finite.

use std::cell::RefCell;

use candle_core::Result;
use cnn_core::Key;
use cnn_layers::{BatchNormPolicy, Context, Event, Observer};

use crate::Task;

/// Runs the batches again under observation and names the first layer whose output is not finite;
/// running statistics stay as they are.
pub(crate) fn first_layer<T: Task>(task: &T, batches: &[T::Batch], key: Key) -> Option<String> {
    let finder = Finder::default();
    for (number, batch) in batches.iter().enumerate() {
        let cx = Context::train(key.at(number as u64)).with_batch_norm(BatchNormPolicy::BatchOnly);
        // Whatever fails on the way: what has been seen until then counts.
        let _ = task.loss(batch, &cx.with_observer(&finder));
        if finder.found.borrow().is_some() {
            break;
        }
    }
    finder.found.into_inner()
}

#[derive(Default)]
struct Finder {
    found: RefCell<Option<String>>,
}

impl Observer for Finder {
    fn exit(&self, event: &Event<'_>) -> Result<()> {
        if self.found.borrow().is_none() && !event.output.is_finite()? {
            let inputs = event
                .inputs
                .iter()
                .map(|input| input.is_finite())
                .collect::<Result<Vec<_>>>()?;
            let cause = if inputs.iter().all(|&finite| finite) {
                ""
            } else {
                ", whose input already was not finite"
            };
            *self.found.borrow_mut() =
                Some(format!("layer {} ({}){cause}", event.path, event.kind));
        }
        Ok(())
    }
}
