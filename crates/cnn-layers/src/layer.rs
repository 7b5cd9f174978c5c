//! The contract of a layer, and a chain of them.

use candle_core::Result;

use crate::{Context, FeatureMap};

/// A function of feature maps, with parameters of its own.
pub trait Layer: Send + Sync {
    /// Computes the output.
    ///
    /// # Errors
    /// If the input's shape does not fit, with the layer's path and the numbers.
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap>;
}

/// Layers one after another.
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn Layer>>);

impl Sequential {
    /// No layer: the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// The chain with `layer` at its end.
    #[expect(clippy::should_implement_trait, reason = "a chain grows by a layer; nothing is summed")]
    pub fn add(mut self, layer: impl Layer + 'static) -> Self {
        self.0.push(Box::new(layer));
        self
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<L: Layer + 'static> FromIterator<L> for Sequential {
    fn from_iter<I: IntoIterator<Item = L>>(layers: I) -> Self {
        Self(layers.into_iter().map(|layer| Box::new(layer) as Box<dyn Layer>).collect())
    }
}

impl Layer for Sequential {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.0.iter().try_fold(xs.clone(), |xs, layer| layer.forward(&xs, cx))
    }
}
