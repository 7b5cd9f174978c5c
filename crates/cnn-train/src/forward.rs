//! A network as the function that a task of classification runs.

use candle_core::{Result, Tensor};
use cnn_layers::{Classifier, Context, FeatureMap, Outputs};

type Function<T> = dyn Fn(&FeatureMap, &Context<'_>) -> Result<T> + Send + Sync;

/// A network as a function from images `(N, H, W, C)` to class scores `(N, K)`: a
/// [`Classifier`], or a closure over layers of one's own.
///
/// ```
/// use cnn_layers::{Conv2dConfig, GlobalAvgPool2d, Layer, Mode, Store};
/// use cnn_train::Forward;
///
/// let root = Store::new(0).builder(Mode::Train);
/// let conv = Conv2dConfig::new(3, 10, 3).build(&root.pp("conv"))?;
/// let pool = GlobalAvgPool2d::new();
/// let forward =
///     Forward::new(move |images, cx| pool.forward(&conv.forward(images, cx)?, cx)?.flatten());
/// # let _ = forward;
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct Forward(Kind);

enum Kind {
    Classifier(Box<dyn Classifier>),
    Scores(Box<Function<Tensor>>),
    Outputs(Box<Function<Outputs<Tensor>>>),
}

impl Forward {
    /// A function that gives class scores.
    pub fn new(
        forward: impl Fn(&FeatureMap, &Context<'_>) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Scores(Box::new(forward)))
    }

    /// A function that gives class scores and those of auxiliary heads. In evaluation the latter
    /// are computed and left.
    pub fn with_outputs(
        forward: impl Fn(&FeatureMap, &Context<'_>) -> Result<Outputs<Tensor>> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Outputs(Box::new(forward)))
    }

    /// The class scores.
    pub(crate) fn scores(&self, images: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        match &self.0 {
            Kind::Classifier(model) => model.forward(images, cx),
            Kind::Scores(forward) => forward(images, cx),
            Kind::Outputs(forward) => Ok(forward(images, cx)?.main),
        }
    }

    /// The class scores, and those of the auxiliary heads.
    pub(crate) fn outputs(&self, images: &FeatureMap, cx: &Context<'_>) -> Result<Outputs<Tensor>> {
        match &self.0 {
            Kind::Classifier(model) => model.forward_outputs(images, cx),
            Kind::Scores(forward) => Ok(forward(images, cx)?.into()),
            Kind::Outputs(forward) => forward(images, cx),
        }
    }
}

impl From<Box<dyn Classifier>> for Forward {
    fn from(model: Box<dyn Classifier>) -> Self {
        Self(Kind::Classifier(model))
    }
}
