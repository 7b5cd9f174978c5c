//! What gives the class scores from the last map.

use candle_core::{Result, Tensor};

use crate::{
    Builder, Context, Dropout, FeatureMap, Flatten, GlobalAvgPool2d, Layer, Linear, LinearConfig,
};

/// Class scores from maps: the end of a [`StagedClassifier`](crate::StagedClassifier), or an
/// auxiliary head in its middle.
pub trait Head: Send + Sync {
    /// As [`Classifier::head_input`](crate::Classifier::head_input). Default: the map itself.
    ///
    /// # Errors
    /// If the map does not fit.
    fn input(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let _ = cx;
        Ok(features.clone())
    }

    /// Class scores.
    ///
    /// # Shapes
    /// `(N, H, W, C)` to `(N, classes)`.
    ///
    /// # Errors
    /// If the map does not fit.
    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor>;
}

/// Global average pooling, dropout and one linear layer.
#[derive(Debug, Clone)]
pub struct LinearHead {
    pool: GlobalAvgPool2d,
    flatten: Flatten,
    dropout: Dropout,
    linear: Linear,
}

impl LinearHead {
    /// Takes the linear layer's parameters from `root.<name>`; `drop_rate` is the probability of
    /// dropping a feature in training.
    ///
    /// # Errors
    /// If a number is zero or the probability is not in `0..1`.
    pub fn build(
        root: &Builder,
        name: &str,
        features: usize,
        classes: usize,
        drop_rate: f64,
    ) -> Result<Self> {
        let linear = LinearConfig::new(features, classes).build(&root.pp(name))?;
        Self::of(linear, root, drop_rate)
    }

    /// The same with a linear layer that was built elsewhere, as one that starts otherwise.
    ///
    /// # Errors
    /// If the probability is not in `0..1`.
    pub fn of(linear: Linear, root: &Builder, drop_rate: f64) -> Result<Self> {
        Ok(Self {
            pool: GlobalAvgPool2d::new().at(&root.pp("global_pool")),
            flatten: Flatten::new(&root.pp("flatten")),
            dropout: Dropout::new(drop_rate, &root.pp("head_drop"))?,
            linear,
        })
    }
}

impl Head for LinearHead {
    fn input(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.pool.forward(features, cx)
    }

    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let pooled = self.pool.forward(features, cx)?;
        let pooled = self.flatten.forward(&pooled, cx)?;
        self.linear
            .forward(&self.dropout.forward_vectors(&pooled, cx)?, cx)
    }
}
