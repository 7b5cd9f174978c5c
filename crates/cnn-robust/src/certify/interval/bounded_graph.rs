//! Bounds of a classifier's scores, layer by layer.

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use cnn_graph::{Graph, Node, OwnedValue, Source};
use cnn_layers::{Classifier, FeatureMap, LayerKind};

use super::ends::joined;
use super::margins::{self, LastLayer};
use super::rule::Rule;
use super::{Ends, Weights};
use crate::Error;

/// The name of the scores among a graph's outputs.
const SCORES: &str = "logits";

/// A classifier's graph, for each of whose layers bounds are known.
pub(crate) struct BoundedGraph {
    graph: Graph,
    /// The place of the node that gives the scores.
    last: usize,
    classes: usize,
}

impl BoundedGraph {
    /// Watches a network, built in [`Mode::Eval`](cnn_layers::Mode::Eval), read one image of this
    /// size, `[channels, height, width]`, and this element type.
    ///
    /// # Errors
    /// [`Error::Unbounded`] for a layer without bounds, and what watching reports.
    pub(crate) fn new(
        model: &dyn Classifier,
        [channels, height, width]: [usize; 3],
        dtype: DType,
    ) -> Result<Self, Error> {
        let grey = Tensor::zeros((1, height, width, channels), dtype, &Device::Cpu)?;
        let graph = Graph::of_classifier(model, &FeatureMap::from_nhwc(&grey)?)?;
        for node in graph.nodes() {
            rule(node)?;
        }
        let Some(Source::Node(last)) = graph.output(SCORES) else {
            return Err(Error::argument("network", "no layer", "at least one"));
        };
        Ok(Self {
            graph,
            last,
            classes: model.num_classes(),
        })
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The bounds of the scores, `(N, K)`.
    pub(super) fn scores(&self, images: Ends, weights: &Weights) -> Result<Ends, Error> {
        Ok(self.run(images, weights)?.scores)
    }

    /// The most that each class's score can lead over that of the label, `(N, K)`: the worst of
    /// `z_k − z_y`, 0 of the label itself. Where the network ends with a linear layer, the bounds
    /// of what that reads go through `W_k − W_y` (section 3 of the paper, "elision of the last
    /// layer").
    pub(crate) fn leads(
        &self,
        images: Ends,
        labels: &[u32],
        weights: &Weights,
    ) -> Result<Tensor, Error> {
        if let Some(label) = labels.iter().find(|label| **label as usize >= self.classes) {
            let expected = format!("below {}, the number of classes", self.classes);
            return Err(Error::argument("label", label, expected));
        }
        let Bounded { scores, features } = self.run(images, weights)?;
        let labels = margins::classes(labels)?;
        let Some(features) = features else {
            return Ok(margins::leads(&scores, &labels)?);
        };
        Ok(self.last_layer(weights)?.leads(&features, &labels)?)
    }

    fn last_layer(&self, weights: &Weights) -> Result<LastLayer, Error> {
        let tensors = self.graph.nodes()[self.last].tensors()?;
        let tensor = |place: usize| tensors.get(place).map(|stored| weights.get(&stored.name));
        let Some(weight) = tensor(0).transpose()? else {
            return Err(Error::argument("last layer", "no weight", "a weight"));
        };
        let bias = tensor(1).transpose()?;
        Ok(LastLayer { weight, bias })
    }

    fn run(&self, images: Ends, weights: &Weights) -> Result<Bounded, Error> {
        let last = &self.graph.nodes()[self.last];
        let mut features = None;
        let mut outputs = self.graph.interpret(images, |node, inputs: &[Ends]| {
            let is_last = std::ptr::eq(node, last);
            let reads_vectors = matches!(inputs.first(), Some(ends) if is_vectors(ends));
            if is_last && reads_vectors && matches!(node.kind, LayerKind::Linear { .. }) {
                features = inputs.first().cloned();
            }
            bounds(node, inputs, weights)
        })?;
        let Some(scores) = outputs.remove(SCORES) else {
            return Err(Error::argument("network", "no scores", "scores"));
        };
        Ok(Bounded { scores, features })
    }
}

/// What is known of a batch.
struct Bounded {
    scores: Ends,
    /// What the last layer reads, where that is linear.
    features: Option<Ends>,
}

fn is_vectors(ends: &Ends) -> bool {
    matches!(ends.lower, OwnedValue::Vectors(_))
}

fn rule(node: &Node) -> Result<Rule, Error> {
    if let Some(rule) = Rule::of(node.kind) {
        return Ok(rule);
    }
    match node.tensors() {
        Err(folded @ cnn_graph::Error::Folded { .. }) => Err(folded.into()),
        _ => Err(Error::Unbounded {
            path: node.path.clone(),
            kind: node.kind.name(),
        }),
    }
}

/// The bounds of what a layer gives.
fn bounds(node: &Node, inputs: &[Ends], weights: &Weights) -> Result<Ends, Error> {
    let stored = |name: &str| weights.get(name);
    let compute = |inputs: &[OwnedValue]| node.compute(inputs, &stored);
    let read = |input: usize| {
        let missing = || Error::argument("inputs of a layer", inputs.len(), "one more");
        inputs.get(input).ok_or_else(missing)
    };
    let ends = |end: fn(&Ends) -> &OwnedValue| {
        let values: Vec<OwnedValue> = inputs.iter().map(|ends| end(ends).clone()).collect();
        compute(&values)
    };
    let lower = || ends(|ends| &ends.lower);
    let upper = || ends(|ends| &ends.upper);
    match rule(node)? {
        Rule::Monotone => Ok(Ends {
            lower: lower()?,
            upper: upper()?,
        }),
        Rule::Affine => {
            let xs = read(0)?;
            let centre = compute(&[xs.centre()?])?;
            let magnitude = |name: &str| weights.magnitude(name);
            let radius = node.compute(&[xs.radius()?], &magnitude)?;
            Ok(Ends::around(&centre, &radius)?)
        }
        Rule::Valley(place) => Ok(Ends {
            lower: compute(&[read(0)?.nearest(place)?])?,
            upper: joined(&lower()?, &upper()?, |a, b| a.maximum(b))?,
        }),
        Rule::Product => product(read(0)?, read(1)?, |x, factor| {
            compute(&[x.clone(), factor.clone()])
        }),
    }
}

/// The least and the largest of the products of the ends.
fn product(
    xs: &Ends,
    factors: &Ends,
    times: impl Fn(&OwnedValue, &OwnedValue) -> Result<OwnedValue, cnn_graph::Error>,
) -> Result<Ends, Error> {
    let products = [
        times(&xs.lower, &factors.lower)?,
        times(&xs.lower, &factors.upper)?,
        times(&xs.upper, &factors.lower)?,
        times(&xs.upper, &factors.upper)?,
    ];
    let [first, others @ ..] = &products;
    let most = |choose: fn(&Tensor, &Tensor) -> CandleResult<Tensor>| {
        others
            .iter()
            .try_fold(first.clone(), |most, other| joined(&most, other, choose))
    };
    Ok(Ends {
        lower: most(|a, b| a.minimum(b))?,
        upper: most(|a, b| a.maximum(b))?,
    })
}
