//! What a forward pass needs beside its input.

use candle_core::{Result, Tensor};
use cnn_core::Key;

use crate::{BackwardRule, Error, Event, FeatureMap, LayerKind, Observer, Value};

/// Which statistics batch normalisation uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchNormPolicy {
    /// The batch's, which also move the running averages; frozen layers use the running ones and
    /// keep them.
    Update,
    /// The batch's; the running averages stay.
    BatchOnly,
    /// The running averages.
    Running,
}

/// What a forward pass needs beside its input: randomness, the batch-norm policy, the activations'
/// backward rule, and who watches.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    random: Option<Key>,
    batch_norm: BatchNormPolicy,
    backward_rule: BackwardRule,
    observer: Option<&'a dyn Observer>,
}

impl<'a> Context<'a> {
    /// Evaluation: nothing random, running statistics.
    pub fn eval() -> Self {
        let batch_norm = BatchNormPolicy::Running;
        let backward_rule = BackwardRule::Standard;
        Self {
            random: None,
            batch_norm,
            backward_rule,
            observer: None,
        }
    }

    /// One training step: dropout and drop-path draw from `key`, which should differ from step to
    /// step, and batch-norm uses the batch's statistics and moves the running ones.
    pub fn train(key: Key) -> Self {
        Self {
            random: Some(key),
            batch_norm: BatchNormPolicy::Update,
            ..Self::eval()
        }
    }

    /// The same for one of several passes within a step: what is random in it is drawn from a
    /// stream of that name, so that two passes have two dropout masks.
    pub fn stream(self, name: &str) -> Self {
        Self {
            random: self.random.map(|key| key.stream(name)),
            ..self
        }
    }

    /// The same with another batch-norm policy.
    pub fn with_batch_norm(self, batch_norm: BatchNormPolicy) -> Self {
        Self { batch_norm, ..self }
    }

    /// The same with another backward rule of the rectifying activations.
    pub fn with_backward_rule(self, backward_rule: BackwardRule) -> Self {
        Self {
            backward_rule,
            ..self
        }
    }

    /// The same with an observer that sees every layer.
    pub fn with_observer<'b>(self, observer: &'b dyn Observer) -> Context<'b>
    where
        'a: 'b,
    {
        Context {
            observer: Some(observer),
            ..self
        }
    }

    /// The batch-norm policy.
    pub fn batch_norm(&self) -> BatchNormPolicy {
        self.batch_norm
    }

    /// The backward rule of the rectifying activations.
    pub fn backward_rule(&self) -> BackwardRule {
        self.backward_rule
    }

    /// Whether an observer sees the layers.
    pub fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// The key of the random layer at `path`; `None` when nothing is random.
    pub fn random(&self, path: &str) -> Option<Key> {
        self.random.map(|key| key.stream(path))
    }

    /// Runs a layer's computation under the observer and gives its errors the layer's path. Every
    /// leaf layer calls this, also one that only joins or reshapes, and so should a layer of one's
    /// own, whose kind is a name of its own.
    ///
    /// # Errors
    /// Those of `compute` and of the observer.
    pub fn layer<O>(
        &self,
        path: &str,
        kind: impl Into<LayerKind>,
        inputs: &[Value<'_>],
        compute: impl FnOnce() -> Result<O>,
    ) -> Result<O>
    where
        for<'v> Value<'v>: From<&'v O>,
    {
        let kind = kind.into();
        if let Some(observer) = self.observer {
            observer.enter(path, kind);
        }
        let output = cnn_kernels::labelled(path, compute).map_err(|source| Error::Layer {
            path: path.to_string(),
            kind: Box::new(kind),
            source: Box::new(source),
        })?;
        if let Some(observer) = self.observer {
            observer.exit(&Event {
                path,
                kind,
                inputs,
                output: Value::from(&output),
            })?;
        }
        Ok(output)
    }

    /// What a layer gives that changes nothing now, as dropout in evaluation. Where an observer
    /// watches, the same values have an identity of their own, so that it can tell who reads them
    /// from who reads the layer's input.
    pub(crate) fn unchanged(&self, xs: &Tensor) -> Result<Tensor> {
        if self.is_observed() {
            xs.reshape(xs.shape())
        } else {
            Ok(xs.clone())
        }
    }

    /// [`Context::unchanged`] for maps.
    pub(crate) fn unchanged_maps(&self, xs: &FeatureMap) -> Result<FeatureMap> {
        if self.is_observed() {
            FeatureMap::from_nhwc(&self.unchanged(&xs.to_nhwc())?)
        } else {
            Ok(xs.clone())
        }
    }
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("random", &self.random)
            .field("batch_norm", &self.batch_norm)
            .field("backward_rule", &self.backward_rule)
            .field("observed", &self.observer.is_some())
            .finish()
    }
}
