//! The network that tells from features which domain they come from (Ganin et al. 2016,
//! <https://arxiv.org/abs/1505.07818>).

use candle_core::Tensor;
use cnn_layers::{
    Activate, Activation, Builder, Context, ConvAct, Dropout, FeatureMap, Layer, Sequential,
};

use super::domains::rows;
use super::vectors::{linear, linear_norm_relu, pixels};
use crate::Error;

/// What a [`DomainDiscriminator`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DomainDiscriminatorConfig {
    in_features: usize,
    hidden_features: usize,
    batch_norm: bool,
}

impl DomainDiscriminatorConfig {
    /// A discriminator of so many features with two hidden layers of so many, which are normalised by
    /// batch; the Transfer-Learning-Library has 1,024.
    pub const fn new(in_features: usize, hidden_features: usize) -> Self {
        Self {
            in_features,
            hidden_features,
            batch_norm: true,
        }
    }

    /// Dropout of one half behind each hidden layer in place of batch normalisation.
    #[must_use]
    pub const fn without_batch_norm(mut self) -> Self {
        self.batch_norm = false;
        self
    }

    /// Takes the parameters from the builder's place, below which they are called as in the
    /// Transfer-Learning-Library: `0`, `1`, `3`, `4` and `6.0` with batch-norm, `0`, `3` and `6.0`
    /// without.
    ///
    /// # Errors
    /// If a number is zero or the store holds a parameter of another shape.
    pub fn build(&self, builder: &Builder) -> Result<DomainDiscriminator, Error> {
        let mut layers = Sequential::new();
        for (first, in_features) in [(0, self.in_features), (3, self.hidden_features)] {
            let out_features = self.hidden_features;
            if self.batch_norm {
                layers.push(linear_norm_relu(in_features, out_features, builder, first)?);
            } else {
                let relu = Activate::new(Activation::Relu, &builder.pp(first + 1));
                let linear = linear(in_features, out_features);
                layers.push(ConvAct::build(&linear, relu, &builder.pp(first))?);
                layers.push(Dropout::new(0.5, &builder.pp(first + 2))?);
            }
        }
        layers.push(linear(self.hidden_features, 1).build(&builder.pp(6).pp(0))?);
        Ok(DomainDiscriminator { layers })
    }
}

/// Two hidden layers, each a linear map, batch normalisation and ReLU, and a linear map to one logit:
/// above 0 for the source, below 0 for the target.
///
/// Give it source and target in one batch, [joined](super::Domains::joined): with batch-norm,
/// statistics of each domain alone would hide what tells them apart.
///
/// # Shapes
/// `(N, in_features)` to `(N, 1)`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{Context, Mode, Store};
/// use cnn_transfer::adapt::DomainDiscriminatorConfig;
///
/// let store = Store::new(0);
/// let discriminator = DomainDiscriminatorConfig::new(256, 64)
///     .build(&store.builder(Mode::Train).pp("discriminator"))?;
/// let features = Tensor::ones((3, 256), DType::F32, &Device::Cpu)?;
/// let logits = discriminator.forward(&features, &Context::eval())?;
/// assert_eq!(logits.dims(), [3, 1]);
/// assert!(store.get("discriminator.6.0.weight").is_ok());
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub struct DomainDiscriminator {
    layers: Sequential,
}

impl DomainDiscriminator {
    /// The logit of each sample.
    ///
    /// # Errors
    /// If the features are not `(N, in_features)`.
    pub fn forward(&self, features: &Tensor, cx: &Context<'_>) -> Result<Tensor, Error> {
        rows("features", features, 1)?;
        self.forward_map(&pixels(features)?, cx)
    }

    /// The same for features as maps of one pixel, `(N, 1, 1, in_features)`, as
    /// [`multilinear_map`](super::losses::multilinear_map) gives them.
    ///
    /// # Errors
    /// If they have another number of channels.
    pub fn forward_map(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor, Error> {
        Ok(self.layers.forward(features, cx)?.flatten()?)
    }
}
