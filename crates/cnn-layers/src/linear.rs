//! The fully connected layer.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use cnn_kernels::{Conv2dSpec, PackedConv2d, conv2d};

use crate::store::Snapshot;
use crate::{Activation, Builder, Context, Error, FeatureMap, Init, LayerKind, Mode};

/// What a [`Linear`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearConfig {
    in_features: usize,
    out_features: usize,
    bias: bool,
    init: Init,
    bias_init: Option<Init>,
}

impl LinearConfig {
    /// A layer with a bias, initialised as PyTorch does.
    pub const fn new(in_features: usize, out_features: usize) -> Self {
        Self {
            in_features,
            out_features,
            bias: true,
            init: Init::PYTORCH_DEFAULT,
            bias_init: None,
        }
    }

    /// No bias.
    pub const fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Another initialisation of the weight.
    pub const fn with_init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Another initialisation of the bias than PyTorch's, uniform in `±1/√in_features`.
    pub const fn with_bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }

    /// Takes `weight` `(out, in)` and `bias` `(out)` from the builder's place.
    ///
    /// # Errors
    /// If a number is zero.
    pub fn build(&self, builder: &Builder) -> Result<Linear> {
        for (what, value) in [
            ("in_features", self.in_features),
            ("out_features", self.out_features),
        ] {
            if value == 0 {
                let layer = builder.path().to_string();
                let expected = "at least 1".to_string();
                return Err(Error::Config {
                    layer,
                    what,
                    found: value.to_string(),
                    expected,
                }
                .into());
            }
        }
        let weight = builder.param("weight", &[self.out_features, self.in_features], self.init)?;
        let bound = 1. / (self.in_features as f64).sqrt();
        let bias_init = self.bias_init.unwrap_or(Init::Uniform { bound });
        let bias = self
            .bias
            .then(|| builder.param("bias", &[self.out_features], bias_init))
            .transpose()?;
        let mut linear = Linear {
            path: builder.path().to_string(),
            weight,
            bias,
            packed: None,
        };
        if builder.mode() == Mode::Inference {
            let packed =
                PackedConv2d::new(&linear.weight, linear.bias.as_ref(), &Conv2dSpec::default())?;
            linear.packed = Some((Arc::new(packed), builder.snapshot()));
        }
        Ok(linear)
    }
}

/// `ys = xs · weightᵀ + bias`.
///
/// # Shapes
/// `(N, in_features)` to `(N, out_features)`.
#[derive(Debug, Clone)]
pub struct Linear {
    path: String,
    weight: Tensor,
    bias: Option<Tensor>,
    /// In [`Mode::Inference`].
    packed: Option<(Arc<PackedConv2d>, Snapshot)>,
}

impl Linear {
    /// Computes the output.
    ///
    /// # Errors
    /// If `xs` is not `(N, in_features)`.
    pub fn forward(&self, xs: &Tensor, cx: &Context<'_>) -> Result<Tensor> {
        let kind = LayerKind::Linear {
            bias: self.bias.is_some(),
        };
        cx.layer(&self.path, kind, &[xs.into()], || {
            let (_, in_features) = self.weight.dims2()?;
            let images = match *xs.dims() {
                [images, features] if features == in_features => images,
                ref found => {
                    let (found, expected) = (
                        found.to_vec(),
                        vec![found.first().copied().unwrap_or(1), in_features],
                    );
                    return Err(Error::Shape {
                        name: "the input".to_string(),
                        found,
                        expected,
                    }
                    .into());
                }
            };
            // A 1×1 convolution over single pixels: candle's matmul would also compute the gradient
            // of a frozen weight.
            let pixels = FeatureMap::from_nhwc(&xs.reshape((images, 1, 1, in_features))?)?;
            match &self.packed {
                Some((packed, snapshot)) => {
                    snapshot.check(&self.path)?;
                    packed.forward(&pixels, None, Activation::Identity)
                }
                None => conv2d(
                    &pixels,
                    &self.weight,
                    self.bias.as_ref(),
                    &Conv2dSpec::default(),
                ),
            }?
            .flatten()
        })
    }

    /// The weight, `(out, in)`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}
