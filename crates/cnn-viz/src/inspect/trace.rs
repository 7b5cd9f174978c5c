//! What one forward pass does: its layers in order of execution, and who reads whose output.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use candle_core::{DType, Result, Tensor, TensorId};
use cnn_layers::{Classifier, Context, Event, FeatureMap, Observer, Value, Window};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The image.
    Image,
    /// The output of a step.
    Step(usize),
    /// The maps of a step as vectors, in the order of channels, rows, columns.
    Flattened(usize),
    /// An operation that no layer stands for, as the padding of a shortcut with zeros.
    Unseen,
}

/// What a layer reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    pub(super) source: Source,
    /// Channels of maps, features of vectors.
    pub(super) channels: usize,
}

/// One layer's work.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) window: Option<Window>,
    pub(super) inputs: Vec<Input>,
    /// Without the batch: `[C, H, W]` of maps, `[features]` of vectors.
    pub(super) output: Vec<usize>,
}

impl Step {
    /// Channels of maps, features of vectors.
    pub(super) fn channels(&self) -> usize {
        self.output.first().copied().unwrap_or(0)
    }

    /// Rows and columns of maps; one pixel for vectors.
    pub(super) fn extent(&self) -> [usize; 2] {
        match *self.output {
            [_, height, width] => [height, width],
            _ => [1, 1],
        }
    }
}

/// A forward pass.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) steps: Vec<Step>,
    /// Of each step, who reads its output: the step and the number of the input there.
    readers: Vec<Vec<(usize, usize)>>,
    /// The outputs of the backbone's stages.
    pub(super) stages: Vec<Source>,
    pub(super) logits: Source,
}

impl Trace {
    /// Watches `model` on `images`. They should be noise: what no layer stands for is recognised by
    /// its values.
    pub(super) fn of(model: &dyn Classifier, images: &FeatureMap) -> Result<Self> {
        let recorder = Recorder::new(images);
        let (stages, logits) = run(model, images, &Context::eval().with_observer(&recorder))?;
        let recording = recorder.0.into_inner();
        let stages = stages
            .iter()
            .map(|maps| recording.source(&maps.into()))
            .collect::<Result<_>>()?;
        let logits = recording.source(&(&logits).into())?;
        let mut readers = vec![Vec::new(); recording.steps.len()];
        for (reader, step) in recording.steps.iter().enumerate() {
            for (number, input) in step.inputs.iter().enumerate() {
                if let Source::Step(read) | Source::Flattened(read) = input.source {
                    readers[read].push((reader, number));
                }
            }
        }
        Ok(Self {
            steps: recording.steps,
            readers,
            stages,
            logits,
        })
    }

    /// Who reads a step's output: the step and the number of the input there.
    pub(super) fn readers(&self, step: usize) -> &[(usize, usize)] {
        &self.readers[step]
    }

    /// The step that alone reads a step's output, as it is.
    pub(super) fn only_reader(&self, step: usize) -> Option<usize> {
        match self.readers[step][..] {
            [(reader, 0)] if self.steps[reader].inputs[0].source == Source::Step(step) => {
                Some(reader)
            }
            _ => None,
        }
    }
}

/// The outputs of the stages, and the logits: all that a forward pass computes, its layers always
/// in the same order.
pub(super) fn run(
    model: &dyn Classifier,
    images: &FeatureMap,
    cx: &Context<'_>,
) -> Result<(Vec<FeatureMap>, Tensor)> {
    let stages = model.forward_stages(images, cx)?;
    let features = match stages.last() {
        Some(last) => model.forward_from(stages.len() - 1, last, cx)?,
        None => model.forward_features(images, cx)?,
    };
    let logits = model.forward_head(&features, cx)?;
    Ok((stages, logits))
}

/// Writes down what it sees.
struct Recorder(RefCell<Recording>);

struct Recording {
    image: TensorId,
    steps: Vec<Step>,
    /// The first step that gave a tensor: layers that do nothing now, such as dropout, pass theirs
    /// on.
    outputs: HashMap<TensorId, usize>,
    /// Number and digest of an output's values; of equal ones the last.
    contents: HashMap<(usize, u64), usize>,
}

impl Recorder {
    fn new(images: &FeatureMap) -> Self {
        let outputs = HashMap::new();
        let contents = HashMap::new();
        Self(RefCell::new(Recording {
            image: images.id(),
            steps: Vec::new(),
            outputs,
            contents,
        }))
    }
}

impl Observer for Recorder {
    fn exit(&self, event: &Event<'_>) -> Result<()> {
        let mut recording = self.0.borrow_mut();
        let input = |value: &Value<'_>| {
            let channels = value.dims().get(1).copied().unwrap_or(0);
            Ok(Input {
                source: recording.source(value)?,
                channels,
            })
        };
        let inputs = event.inputs.iter().map(input).collect::<Result<_>>()?;
        let content = content(&event.output)?;
        let number = recording.steps.len();
        recording.outputs.entry(event.output.id()).or_insert(number);
        recording.contents.insert(content, number);
        recording.steps.push(Step {
            path: event.path.to_string(),
            kind: event.kind.name(),
            window: event.kind.window().copied(),
            inputs,
            output: event.output.dims()[1..].to_vec(),
        });
        Ok(())
    }
}

impl Recording {
    fn source(&self, value: &Value<'_>) -> Result<Source> {
        if value.id() == self.image {
            return Ok(Source::Image);
        }
        if let Some(&step) = self.outputs.get(&value.id()) {
            return Ok(Source::Step(step));
        }
        // Flattened maps are no layer's output, but have its values.
        let Some(&step) = self.contents.get(&content(value)?) else {
            return Ok(Source::Unseen);
        };
        let found = &self.steps[step].output[..];
        let given = &value.dims()[1..];
        Ok(match (found, given) {
            _ if found == given => Source::Step(step),
            (&[channels, height, width], &[features]) if channels * height * width == features => {
                Source::Flattened(step)
            }
            _ => Source::Unseen,
        })
    }
}

/// Number and digest of the values in PyTorch's order.
fn content(value: &Value<'_>) -> Result<(usize, u64)> {
    let values = value
        .to_tensor()?
        .detach()
        .to_dtype(DType::F64)?
        .flatten_all()?
        .to_vec1::<f64>()?;
    let mut hasher = DefaultHasher::new();
    values
        .iter()
        .for_each(|value| value.to_bits().hash(&mut hasher));
    Ok((values.len(), hasher.finish()))
}
