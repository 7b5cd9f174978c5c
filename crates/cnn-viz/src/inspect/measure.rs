//! Watches forward passes and sums up what the layers give.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, Error, Result, Storage};
use cnn_core::{Key, Rng};
use cnn_graph::{Node, stages_and_logits};
use cnn_layers::{Activation, Classifier, Context, Event, FeatureMap, LayerKind, Observer, Value};
use rayon::prelude::*;

use super::activity::Activity;
use super::channel_sums::{ChannelSums, Detail, PROJECTIONS};
use super::filter_graph::FilterGraph;

/// Whether it is an activation that gives 0 for every negative value.
pub(super) fn is_rectifier(kind: LayerKind) -> bool {
    matches!(
        kind,
        LayerKind::Activation(Activation::Relu | Activation::Relu6)
    )
}

/// One image in so many is held out.
const HELD_OUT: usize = 5;

/// The sums over all images so far, node by node.
pub(super) struct Meter<'a> {
    nodes: &'a [Node],
    details: Vec<Option<Detail>>,
    projector: Projector,
    state: RefCell<State>,
}

struct State {
    /// The next node of the pass that is being watched.
    node: usize,
    /// Images of the passes before.
    images: usize,
    measured: Measured,
}

/// What was measured of each node, if anything.
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
        let nodes = graph.network.nodes();
        let details = details(graph);
        let both = || nodes.iter().zip(&details);
        let sums = || {
            both().map(|(node, detail)| {
                detail.map(|detail| ChannelSums::new(node.channels(), detail))
            })
        };
        let activity = both().map(|(node, &detail)| {
            let of_unit = detail == Some(Detail::Signature);
            of_unit.then(|| Activity::new(node.channels()))
        });
        let measured = Measured {
            kept: sums().collect(),
            held_out: sums().collect(),
            activity: activity.collect(),
        };
        let pixels = nodes
            .iter()
            .map(|node| node.extent().iter().product())
            .max()
            .unwrap_or(0);
        let state = RefCell::new(State {
            node: 0,
            images: 0,
            measured,
        });
        Self {
            nodes,
            details,
            projector: Projector::new(pixels),
            state,
        }
    }

    /// Watches one batch pass through the model that the graph was made of.
    pub(super) fn watch(&self, model: &dyn Classifier, images: &FeatureMap) -> Result<()> {
        stages_and_logits(model, images, &Context::eval().with_observer(self))?;
        let mut state = self.state.borrow_mut();
        state.node = 0;
        state.images += images.batch();
        Ok(())
    }

    /// What was measured.
    pub(super) fn finish(self) -> Measured {
        self.state.into_inner().measured
    }
}

/// What is measured of each node.
fn details(graph: &FilterGraph) -> Vec<Option<Detail>> {
    let nodes = graph.network.nodes();
    let mut details = vec![None; nodes.len()];
    for (detail, node) in details.iter_mut().zip(nodes) {
        if matches!(node.kind, LayerKind::Linear { .. }) || is_rectifier(node.kind) {
            *detail = Some(Detail::Moments);
        }
    }
    for unit in &graph.units {
        let [before, last] = unit.nodes;
        details[before] = Some(Detail::Range);
        details[last] = Some(Detail::Signature);
    }
    details
}

impl Observer for Meter<'_> {
    fn exit(&self, event: &Event<'_>) -> Result<()> {
        let mut state = self.state.borrow_mut();
        let number = state.node;
        let images = state.images;
        state.node += 1;
        let Some(node) = self
            .nodes
            .get(number)
            .filter(|node| node.path == event.path)
        else {
            let expected = self.nodes.get(number);
            let expected = expected.map_or("the end", |expected| &expected.path);
            return Err(Error::msg(format!(
                "layer {number} of a forward pass is {}, expected {expected}",
                event.path
            )));
        };
        let Some(detail) = self.details[number] else {
            return Ok(());
        };
        let channels = node.channels();
        let parts = self.parts(&event.output, channels, detail, images)?;
        let measured = &mut state.measured;
        for (image, part) in (images..).zip(&parts) {
            let sums = if is_held_out(image) {
                &mut measured.held_out
            } else {
                &mut measured.kept
            };
            sums[number].iter_mut().for_each(|sums| sums.add(part));
            measured.activity[number]
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
