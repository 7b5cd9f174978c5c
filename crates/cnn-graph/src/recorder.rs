//! Writes down what a forward pass does.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::{Result as CandleResult, TensorId};
use cnn_layers::{Event, FeatureMap, Observer, Value};

use crate::{Error, Node, OwnedValue, Source};

/// Watches one forward pass.
pub(crate) struct Recorder(RefCell<Recording>);

/// What it saw.
pub(crate) struct Recorded {
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<(String, Source)>,
}

struct Recording {
    /// How many images are watched.
    images: usize,
    nodes: Vec<Node>,
    /// Where each value comes from. No two values have one identity, so none has to be kept; of a
    /// value that a layer passes on as it is, the last layer is the source.
    sources: HashMap<TensorId, Source>,
    /// Why the pass was stopped.
    error: Option<Error>,
}

impl Recorder {
    pub(crate) fn new(images: &FeatureMap) -> Self {
        let sources = HashMap::from([(images.id(), Source::Images)]);
        Self(RefCell::new(Recording {
            images: images.batch(),
            nodes: Vec::new(),
            sources,
            error: None,
        }))
    }

    /// The nodes of the pass and the sources of its outputs.
    ///
    /// # Errors
    /// If the pass failed, or an operation stood outside any layer.
    pub(crate) fn finish(
        self,
        outputs: CandleResult<Vec<(String, OwnedValue)>>,
    ) -> Result<Recorded, Error> {
        let recording = self.0.into_inner();
        if let Some(error) = recording.error {
            return Err(error);
        }
        let mut sources: Vec<(String, Source)> = Vec::new();
        for (name, output) in outputs? {
            if sources.iter().any(|(other, _)| *other == name) {
                return Err(Error::SameOutput { output: name });
            }
            match recording.sources.get(&output.value().id()) {
                Some(&source) => sources.push((name, source)),
                None => return Err(Error::OutputOutsideLayer { output: name }),
            }
        }
        Ok(Recorded {
            nodes: recording.nodes,
            outputs: sources,
        })
    }
}

impl Observer for Recorder {
    fn exit(&self, event: &Event<'_>) -> CandleResult<()> {
        let mut recording = self.0.borrow_mut();
        let mut inputs = Vec::with_capacity(event.inputs.len());
        for (input, value) in event.inputs.iter().enumerate() {
            let Some(&source) = recording.sources.get(&value.id()) else {
                let error = Error::OutsideLayer {
                    path: event.path.to_string(),
                    kind: event.kind.name(),
                    input,
                };
                let message = error.to_string();
                recording.error.get_or_insert(error);
                candle_core::bail!("{message}");
            };
            inputs.push(source);
        }
        let node = Source::Node(recording.nodes.len());
        let images = recording.images.max(1);
        recording.sources.insert(event.output.id(), node);
        recording.nodes.push(Node {
            path: event.path.to_string(),
            kind: event.kind,
            inputs,
            input_shapes: event.inputs.iter().map(without_batch).collect(),
            shape: without_batch(&event.output),
            regions: batch_of(&event.output) / images,
        });
        Ok(())
    }
}

fn batch_of(value: &Value<'_>) -> usize {
    value.dims().first().copied().unwrap_or(0)
}

fn without_batch(value: &Value<'_>) -> Vec<usize> {
    value.dims().into_iter().skip(1).collect()
}
