//! The features that methods compare, of any images.

use candle_core::Tensor;
use cnn_layers::{Context, Mode};
use cnn_models::Network;

use super::TwoParts;
use crate::Error;

/// A network that tells the features which methods compare: those behind its bottleneck, or without
/// one what its head reads.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_models::{ModelConfig, Network};
/// use cnn_transfer::adapt::FeatureReader;
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let images = Tensor::zeros((2, 32, 32, 3), DType::F32, &Device::Cpu)?;
/// assert_eq!(FeatureReader::new(&network)?.features(&images)?.dims(), [2, 64]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FeatureReader(TwoParts);

impl FeatureReader {
    /// Of a network as it evaluates.
    ///
    /// # Errors
    /// If its layers cannot be built.
    pub fn new(network: &Network) -> Result<Self, Error> {
        let parts = TwoParts::build(network, network.store(), Mode::Inference)?;
        Ok(Self(parts))
    }

    /// Of images `(N, H, W, C)` as a batch has them: a row for each, `(N, F)`.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn features(&self, images: &Tensor) -> Result<Tensor, Error> {
        Ok(self.0.outputs(images, &Context::eval())?.features)
    }
}
