//! Watches forward passes and sums up what the layers give.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, Error, Result, Storage};
use cnn_core::{Key, Rng};
use cnn_layers::{Classifier, Context, Event, FeatureMap, Observer, Value};
use rayon::prelude::*;

use super::activity::Activity;
use super::channel_sums::{ChannelSums, Detail, PROJECTIONS};
use super::filter_graph::FilterGraph;
use super::trace::{Trace, run};

/// Kinds of activations that give 0 for every negative value.
pub(super) const RECTIFIERS: [&str; 2] = ["relu", "relu6"];

/// One image in so many is held out.
const HELD_OUT: usize = 5;

/// The sums over all images so far, step by step.
pub(super) struct Meter<'a> {
    trace: &'a Trace,
    details: Vec<Option<Detail>>,
    projector: Projector,
    state: RefCell<State>,
}

struct State {
    /// The next step of the pass that is being watched.
    step: usize,
    /// Images of the passes before.
    images: usize,
    measured: Measured,
}

/// What was measured of each step, if anything.
pub(super) struct Measured {
    /// Over the images that are not held out.
    pub(super) kept: Vec<Option<ChannelSums>>,
    /// Over those that are.
    pub(super) held_out: Vec<Option<ChannelSums>>,
    /// Over all images, of the units' outputs only.
    pub(super) activity: Vec<Option<Activity>>,
}

impl Measured {
    /// The sums over all images.
    pub(super) fn all(&self) -> Vec<Option<ChannelSums>> {
        let both = |(kept, held_out): (&Option<ChannelSums>, &Option<ChannelSums>)| {
            let mut sums = kept.clone()?;
            held_out.iter().for_each(|other| sums.add(other));
            Some(sums)
        };
        self.kept.iter().zip(&self.held_out).map(both).collect()
    }
}

/// Whether an image is held out: every fifth is, in the order in which they are read.
pub(super) fn is_held_out(image: usize) -> bool {
    image % HELD_OUT == HELD_OUT - 1
}

impl<'a> Meter<'a> {
    /// For the outputs of the graph's units before and after their activations, of its linear
    /// layers, and of rectifiers that stand alone.
    pub(super) fn new(graph: &'a FilterGraph) -> Self {
        let steps = &graph.trace.steps;
        let details = details(graph);
        let both = || steps.iter().zip(&details);
        let sums = || {
            both().map(|(step, detail)| {
                detail.map(|detail| ChannelSums::new(step.channels(), detail))
            })
        };
        let activity = both().map(|(step, &detail)| {
            let of_unit = detail == Some(Detail::Signature);
            of_unit.then(|| Activity::new(step.channels()))
        });
        let measured = Measured {
            kept: sums().collect(),
            held_out: sums().collect(),
            activity: activity.collect(),
        };
        let pixels = steps
            .iter()
            .map(|step| step.extent().iter().product())
            .max()
            .unwrap_or(0);
        let state = RefCell::new(State {
            step: 0,
            images: 0,
            measured,
        });
        Self {
            trace: &graph.trace,
            details,
            projector: Projector::new(pixels),
            state,
        }
    }

    /// Watches one batch pass through the model that the graph was made of.
    pub(super) fn watch(&self, model: &dyn Classifier, images: &FeatureMap) -> Result<()> {
        run(model, images, &Context::eval().with_observer(self))?;
        let mut state = self.state.borrow_mut();
        (state.step, state.images) = (0, state.images + images.batch());
        Ok(())
    }

    /// What was measured.
    pub(super) fn finish(self) -> Measured {
        self.state.into_inner().measured
    }
}

/// What is measured of each step.
fn details(graph: &FilterGraph) -> Vec<Option<Detail>> {
    let steps = &graph.trace.steps;
    let mut details = vec![None; steps.len()];
    for (detail, step) in details.iter_mut().zip(steps) {
        if step.kind == "linear" || RECTIFIERS.contains(&step.kind) {
            *detail = Some(Detail::Moments);
        }
    }
    for unit in &graph.units {
        let [before, last] = unit.steps;
        details[before] = Some(Detail::Range);
        details[last] = Some(Detail::Signature);
    }
    details
}

impl Observer for Meter<'_> {
    fn exit(&self, event: &Event<'_>) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let step = state.step;
        let images = state.images;
        state.step += 1;
        if self
            .trace
            .steps
            .get(step)
            .is_none_or(|expected| expected.path != event.path)
        {
            let expected = self
                .trace
                .steps
                .get(step)
                .map_or("the end", |expected| &expected.path);
            return Err(Error::msg(format!(
                "layer {step} of a forward pass is {}, expected {expected}",
                event.path
            )));
        }
        let Some(detail) = self.details[step] else {
            return Ok(());
        };
        let channels = self.trace.steps[step].channels();
        let parts = self.parts(&event.output, channels, detail, images)?;
        let measured = &mut state.measured;
        for (image, part) in (images..).zip(&parts) {
            let sums = if is_held_out(image) {
                &mut measured.held_out
            } else {
                &mut measured.kept
            };
            sums[step].iter_mut().for_each(|sums| sums.add(part));
            measured.activity[step]
                .iter_mut()
                .for_each(|activity| activity.add(part));
        }
        Ok(())
    }
}

impl Meter<'_> {
    /// The sums of each image of a batch.
    fn parts(
        &self,
        output: &Value<'_>,
        channels: usize,
        detail: Detail,
        images: usize,
    ) -> Result<Vec<ChannelSums>> {
        let tensor = match output {
            Value::Maps(maps) => maps.detach().to_nhwc(),
            Value::Vectors(vectors) => vectors.detach().contiguous()?,
        };
        let wide = [DType::F32, DType::F64].contains(&tensor.dtype());
        let tensor = if wide {
            tensor
        } else {
            tensor.to_dtype(DType::F32)?
        };
        let batch = tensor.dims()[0].max(1);
        let (storage, layout) = tensor.storage_and_layout();
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| Error::msg("values that are not contiguous"))?;
        match &*storage {
            Storage::Cpu(CpuStorage::F32(values)) => {
                Ok(self.sums(&values[start..end], batch, channels, detail, images))
            }
            Storage::Cpu(CpuStorage::F64(values)) => {
                Ok(self.sums(&values[start..end], batch, channels, detail, images))
            }
            _ => Err(Error::msg("values that are not on the CPU")),
        }
    }

    fn sums<T: Copy + Into<f64> + Sync>(
        &self,
        values: &[T],
        batch: usize,
        channels: usize,
        detail: Detail,
        images: usize,
    ) -> Vec<ChannelSums> {
        let projector = &self.projector;
        let of_image = |(image, values): (usize, &[T])| {
            let mut sums = ChannelSums::new(channels, detail);
            let factors = projector.factors(images + image);
            sums.add_image(values, |pixel| projector.weight(factors, pixel));
            sums
        };
        values
            .par_chunks((values.len() / batch).max(1))
            .enumerate()
            .map(of_image)
            .collect()
    }
}

/// Random weights of pixels, the same in every layer, times random weights of images.
struct Projector {
    key: Key,
    pixels: Vec<[f64; PROJECTIONS]>,
}

impl Projector {
    fn new(pixels: usize) -> Self {
        let key = Key::new(0).stream("inspect").stream("projections");
        let mut rng = key.stream("pixels").rng();
        Self {
            pixels: (0..pixels).map(|_| draw(&mut rng)).collect(),
            key: key.stream("images"),
        }
    }

    fn factors(&self, image: usize) -> [f64; PROJECTIONS] {
        draw(&mut self.key.at(image as u64).rng())
    }

    fn weight(&self, factors: [f64; PROJECTIONS], pixel: usize) -> [f64; PROJECTIONS] {
        std::array::from_fn(|projection| factors[projection] * self.pixels[pixel][projection])
    }
}

fn draw(rng: &mut Rng) -> [f64; PROJECTIONS] {
    std::array::from_fn(|_| rng.uniform_in(-1., 1.))
}
