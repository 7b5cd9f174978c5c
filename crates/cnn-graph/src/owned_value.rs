//! What a network or one of its layers gives, kept.

use candle_core::{Result, Tensor};
use cnn_layers::{FeatureMap, Value};

/// What a network or one of its layers gives: a [`Value`] that is kept.
#[derive(Debug, Clone)]
pub enum OwnedValue {
    /// Feature maps, `(N, H, W, C)`.
    Maps(FeatureMap),
    /// One vector per image, `(N, features)`.
    Vectors(Tensor),
}

impl OwnedValue {
    /// The values as a tensor, maps in PyTorch's order `(N, C, H, W)`.
    ///
    /// # Errors
    /// If the copy fails.
    pub fn to_tensor(&self) -> Result<Tensor> {
        self.value().to_tensor()
    }

    /// The same as an observer sees it.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Maps(maps) => maps.into(),
            Self::Vectors(vectors) => vectors.into(),
        }
    }
}

impl From<FeatureMap> for OwnedValue {
    fn from(maps: FeatureMap) -> Self {
        Self::Maps(maps)
    }
}

impl From<Tensor> for OwnedValue {
    fn from(vectors: Tensor) -> Self {
        Self::Vectors(vectors)
    }
}
