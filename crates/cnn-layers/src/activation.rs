//! Activations as layers: every [`Activation`], and softmax.

use candle_core::{Result, Tensor};
use cnn_kernels::{activate, activate_tensor, softmax};

use crate::{Activation, BackwardRule, Builder, Context, FeatureMap, Layer, LayerKind};

/// An element-wise non-linearity over maps or vectors.
///
/// # Shapes
/// Any to the same.
#[derive(Debug, Clone)]
pub struct Activate {
    path: String,
    activation: Activation,
}

impl Activate {
    /// The activation at the builder's place, as `layer1.0.act1`; it has no parameters.
    pub fn new(activation: Activation, builder: &Builder) -> Self {
        Self {
            path: builder.path().to_string(),
            activation,
        }
    }

    /// Applies it to vectors, `(N, features)`.
    ///
    /// # Errors
    /// If the element type is neither f32 nor f64.
    pub fn forward_vectors(&self, xs: &Tensor, cx: &Context<'_>) -> Result<Tensor> {
        cx.layer(&self.path, self.kind(), &[xs.into()], || {
            match self.activation {
                Activation::Identity => cx.unchanged(xs),
                activation => activate_tensor(xs, activation, cx.backward_rule()),
            }
        })
    }

    /// The activation, if it may be computed together with the layer before it: nobody watches, and
    /// gradients follow the derivative.
    pub(crate) fn fusible(&self, cx: &Context<'_>) -> Option<Activation> {
        (!cx.is_observed() && cx.backward_rule() == BackwardRule::Standard)
            .then_some(self.activation)
    }

    pub(crate) fn activation(&self) -> Activation {
        self.activation
    }

    fn kind(&self) -> LayerKind {
        LayerKind::Activation(self.activation)
    }
}

impl Layer for Activate {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        cx.layer(&self.path, self.kind(), &[xs.into()], || {
            match self.activation {
                Activation::Identity => cx.unchanged_maps(xs),
                activation => activate(xs, activation, cx.backward_rule()),
            }
        })
    }
}

/// `e^x_i / Σ e^x_j` over the channels of each pixel, or over the features of each vector.
///
/// # Shapes
/// Any to the same.
#[derive(Debug, Clone)]
pub struct Softmax {
    path: String,
}

impl Softmax {
    /// The layer at the builder's place; it has no parameters.
    pub fn new(builder: &Builder) -> Self {
        Self {
            path: builder.path().to_string(),
        }
    }

    /// Applies it to vectors, `(N, features)`.
    ///
    /// # Errors
    /// If the vectors are empty.
    pub fn forward_vectors(&self, xs: &Tensor, cx: &Context<'_>) -> Result<Tensor> {
        cx.layer(&self.path, LayerKind::Softmax, &[xs.into()], || softmax(xs))
    }
}

impl Layer for Softmax {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        cx.layer(&self.path, LayerKind::Softmax, &[xs.into()], || {
            FeatureMap::from_nhwc(&softmax(&xs.to_nhwc())?)
        })
    }
}
