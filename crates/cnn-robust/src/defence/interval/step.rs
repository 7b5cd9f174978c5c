//! A training step with bounds of the scores.

use cnn_core::Preprocessing;
use cnn_data::Batch;
use cnn_layers::{Classifier, LayerKind, Store};
use cnn_train::{Classification, Error, GradientStep, Step, StepReport, Update};

use super::ramp::Ramp;
use super::task::IntervalTask;
use crate::certify::interval::{BoundedGraph, Weights};
use crate::{Normalization, Threat};

/// A step of [`Classification`] that teaches a network to be certain, in place of [`GradientStep`]:
/// interval bound propagation (S. Gowal et al. 2018, arXiv:1810.12715).
///
/// The loss is `κ ℓ(z(x), y) + (1 − κ) ℓ(ẑ, y)` (equation 10) with the scores `z` of the images and
/// the worst that bounds leave possible within `ε`, `ẑ_k = max (z_k − z_y)`, as
/// [`IntervalBounds::leads`](crate::certify::IntervalBounds::leads) computes them, here
/// differentiably and in the network's own element type. Over the first share of the training, or
/// of each of its phases, `ε` grows from 0 to its size and `κ` falls from 1 to ½, after a sixth of
/// that share without bounds. Where a run stands says how far they are, so one that is interrupted
/// ends in the same bytes.
///
/// Auxiliary heads learn from the images alone, and dropout is in the images' pass alone. The
/// reports say `certified_top1`: the share of images of which the size that the update was made with
/// leaves no other answer.
///
/// ```
/// use cnn_models::{ModelConfig, Network};
/// use cnn_robust::defence::IntervalStep;
///
/// let network = |name| Network::new(name, &ModelConfig::default(), 0);
/// let step = |network: &Network| {
///     let (model, store) = (network.model(), network.store());
///     IntervalStep::new(0.1, 0.2, model, store, network.preprocessing())
/// };
/// assert!(step(&network("lenet5")?).is_ok());
/// // The statistics of a batch-norm in training are not those of everything within 0.1.
/// let error = step(&network("resnet8_cifar10")?).err().map(|error| error.to_string());
/// assert!(error.is_some_and(|error| error.contains("batch_norm at bn1")));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct IntervalStep {
    threat: Threat,
    ramp: Ramp,
    step: GradientStep,
    graph: BoundedGraph,
    weights: Weights,
    normalization: Normalization,
}

impl IntervalStep {
    /// Trains for changes of at most `eps` in L∞, which grows over the first `ramp` of the training.
    /// `network` is the network that is trained, built in [`Mode::Eval`](cnn_layers::Mode::Eval)
    /// from `store`, whose trainable parameters learn, and `record` its preprocessing.
    ///
    /// # Errors
    /// If `eps` is negative or not finite, or `ramp` not above 0 and at most 1; for a layer that has
    /// no bounds, or a batch-norm, whose statistics in training are those of the images alone; and
    /// if the record is invalid.
    pub fn new(
        eps: f64,
        ramp: f64,
        network: &dyn Classifier,
        store: &Store,
        record: &Preprocessing,
    ) -> Result<Self, crate::Error> {
        let graph = BoundedGraph::new(network, record.input_size, store.dtype())?;
        let mut nodes = graph.graph().nodes().iter();
        let norm = nodes.find(|node| matches!(node.kind, LayerKind::BatchNorm { .. }));
        if let Some(norm) = norm {
            let found = format!("{} at {}", norm.kind, norm.path);
            let expected = "a network without batch-norm, such as lenet5, alexnet or vgg11";
            return Err(crate::Error::argument("layer", found, expected));
        }
        Ok(Self {
            threat: Threat::linf(eps)?,
            ramp: Ramp::new(ramp)?,
            step: GradientStep::default(),
            weights: Weights::trained(graph.graph(), store)?,
            graph,
            normalization: Normalization::new(record)?,
        })
    }

    /// Clips the gradients of the weights as this step does.
    #[must_use]
    pub fn with_step(self, step: GradientStep) -> Self {
        Self { step, ..self }
    }
}

impl Step<Classification> for IntervalStep {
    fn step(
        &mut self,
        task: &Classification,
        batches: &[Batch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, Error> {
        let point = self.ramp.at(update.progress);
        let task = IntervalTask {
            task,
            graph: &self.graph,
            weights: &self.weights,
            normalization: &self.normalization,
            eps: point.size * self.threat.eps,
            point,
        };
        self.step.step(&task, batches, update)
    }
}
