//! The layers between a backbone and its classes in which the domains are brought together.

use candle_core::Tensor;
use cnn_layers::{Activate, Activation, Builder, Context, ConvAct, Dropout, Layer, Sequential};

use super::domains::rows;
use super::vectors::{linear, linear_norm_relu, pixels};
use crate::Error;

/// What a [`Bottleneck`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BottleneckConfig {
    in_features: usize,
    out_features: usize,
    batch_norm: bool,
    dropout: Option<f64>,
}

impl BottleneckConfig {
    /// A linear map, batch normalisation and ReLU; the Transfer-Learning-Library has 256 features
    /// behind it.
    pub const fn new(in_features: usize, out_features: usize) -> Self {
        Self {
            in_features,
            out_features,
            batch_norm: true,
            dropout: None,
        }
    }

    /// No batch normalisation, as DAN has it.
    #[must_use]
    pub const fn without_batch_norm(mut self) -> Self {
        self.batch_norm = false;
        self
    }

    /// Dropout at the end, with the probability of a zero; DAN and JAN have 0.5.
    #[must_use]
    pub const fn with_dropout(mut self, p: f64) -> Self {
        self.dropout = Some(p);
        self
    }

    /// Takes the parameters from the builder's place, below which they are called as in the
    /// Transfer-Learning-Library: `0` the linear map, `1` the norm.
    ///
    /// # Errors
    /// If a number is zero, the probability is not in `[0, 1)`, or the store holds a parameter of
    /// another shape.
    pub fn build(&self, builder: &Builder) -> Result<Bottleneck, Error> {
        let mut layers = Sequential::new();
        if self.batch_norm {
            layers.push(linear_norm_relu(
                self.in_features,
                self.out_features,
                builder,
                0,
            )?);
        } else {
            let relu = Activate::new(Activation::Relu, &builder.pp(1));
            let linear = linear(self.in_features, self.out_features);
            layers.push(ConvAct::build(&linear, relu, &builder.pp(0))?);
        }
        if let Some(p) = self.dropout {
            let last = 2 + usize::from(self.batch_norm);
            layers.push(Dropout::new(p, &builder.pp(last))?);
        }
        Ok(Bottleneck { layers })
    }
}

/// `dropout(relu(norm(xs · weightᵀ + bias)))`: the features that are compared between domains, and
/// that a head classifies.
///
/// # Shapes
/// `(N, in_features)` to `(N, out_features)`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{Context, Mode, Store};
/// use cnn_transfer::adapt::BottleneckConfig;
///
/// let store = Store::new(0);
/// let bottleneck = BottleneckConfig::new(1280, 256)
///     .with_dropout(0.5)
///     .build(&store.builder(Mode::Train).pp("bottleneck"))?;
/// let features = Tensor::ones((2, 1280), DType::F32, &Device::Cpu)?;
/// assert_eq!(bottleneck.forward(&features, &Context::eval())?.dims(), [2, 256]);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub struct Bottleneck {
    layers: Sequential,
}

impl Bottleneck {
    /// The features behind it.
    ///
    /// # Errors
    /// If the features are not `(N, in_features)`.
    pub fn forward(&self, features: &Tensor, cx: &Context<'_>) -> Result<Tensor, Error> {
        rows("features", features, 1)?;
        Ok(self.layers.forward(&pixels(features)?, cx)?.flatten()?)
    }
}
