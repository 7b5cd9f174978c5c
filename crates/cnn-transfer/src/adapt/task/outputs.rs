//! What a network makes of images: features, and scores of them.

use candle_core::{Device, Tensor};
use cnn_layers::{Classifier, Context, FeatureMap, Mode, Store};
use cnn_models::{Bottlenecked, Network};

use super::super::{DomainPair, Domains};
use crate::Error;

/// Features `(N, F)` and scores `(N, K)` of images.
#[derive(Debug, Clone)]
pub(in super::super) struct Outputs {
    pub(in super::super) features: Tensor,
    pub(in super::super) logits: Tensor,
}

impl Outputs {
    /// So many rows from one on.
    pub(in super::super) fn rows(&self, first: usize, count: usize) -> Result<Self, Error> {
        Ok(Self {
            features: self.features.narrow(0, first, count)?,
            logits: self.logits.narrow(0, first, count)?,
        })
    }
}

/// Those of a batch of each domain.
#[derive(Debug, Clone)]
pub(in super::super) struct PairOutputs {
    pub(in super::super) source: Outputs,
    pub(in super::super) target: Outputs,
}

/// How many updates were made, of how many.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Place {
    pub(in super::super) iteration: usize,
    pub(in super::super) iterations: usize,
    /// Whether the next update is the first of an epoch.
    pub(in super::super) begins_epoch: bool,
}

impl PairOutputs {
    pub(in super::super) fn at(&self, place: Place) -> DomainPair<'_> {
        DomainPair {
            features: Domains {
                source: &self.source.features,
                target: &self.target.features,
            },
            logits: Domains {
                source: &self.source.logits,
                target: &self.target.logits,
            },
            iteration: place.iteration,
            iterations: place.iterations,
        }
    }
}

/// A network that tells its features, which are those behind the bottleneck, or else what its head
/// reads.
pub(in super::super) enum TwoParts {
    Bottlenecked(Box<Bottlenecked>),
    Whole(Box<dyn Classifier>),
}

impl TwoParts {
    /// The network's layers with the tensors of a store that has them.
    pub(in super::super) fn build(
        network: &Network,
        store: &Store,
        mode: Mode,
    ) -> Result<Self, Error> {
        if network.spec().name == BOTTLENECK {
            let built = Bottlenecked::build(&network.config().model, &store.builder(mode))?;
            return Ok(Self::Bottlenecked(Box::new(built)));
        }
        Ok(Self::Whole(network.build(mode)?))
    }

    /// A second network with tensors of its own, which begin as the network's are; nothing trains
    /// them.
    pub(in super::super) fn copy_of(network: &Network) -> Result<(Store, Self), Error> {
        let own = network.store();
        let store = Store::with_dtype(0, own.dtype(), &own.device());
        store.set_blank(true);
        if network.spec().name != BOTTLENECK {
            let expected = "one with a bottleneck, as a source-only run gives";
            return Err(Error::argument("network", network.spec().name, expected));
        }
        // Built in training mode, it may change; what it gives is detached where it is used.
        let copy = Self::build(network, &store, Mode::Train)?;
        store.set_trainable(false, |_| true);
        set_all(&store, &own.tensors())?;
        Ok((store, copy))
    }

    /// Of images as a batch has them, `(N, H, W, C)`.
    pub(in super::super) fn outputs(
        &self,
        images: &Tensor,
        cx: &Context<'_>,
    ) -> Result<Outputs, Error> {
        let images = FeatureMap::from_nhwc(images)?;
        let (features, logits) = match self {
            Self::Bottlenecked(network) => {
                let features = network.features(&images, cx)?;
                let logits = network.scores(&features, cx)?;
                (features, logits)
            }
            Self::Whole(network) => {
                let last = network.forward_features(&images, cx)?;
                let features = network.head_input(&last, cx)?.flatten()?;
                (features, network.forward_head(&last, cx)?)
            }
        };
        Ok(Outputs { features, logits })
    }

    /// Such features with their scores anew.
    pub(in super::super) fn scored(
        &self,
        features: &Tensor,
        cx: &Context<'_>,
    ) -> Result<Outputs, Error> {
        let Self::Bottlenecked(network) = self else {
            let expected = "one with a bottleneck, whose features have scores of their own";
            return Err(Error::argument("network", "another one", expected));
        };
        Ok(Outputs {
            features: features.clone(),
            logits: network.scores(features, cx)?,
        })
    }

    /// How many features there are.
    pub(in super::super) fn feature_count(&self, network: &Network) -> Result<usize, Error> {
        let [channels, height, width] = network.preprocessing().input_size;
        let shape = (1, height, width, channels);
        let images = Tensor::zeros(shape, network.store().dtype(), &Device::Cpu)?;
        let outputs = self.outputs(&images, &Context::eval())?;
        Ok(outputs.features.dim(1)?)
    }
}

/// The registered model with a bottleneck.
pub(in super::super) const BOTTLENECK: &str = "bottleneck";

/// Gives a store the values of tensors by name; it need not have all of them.
pub(in super::super) fn set_all(store: &Store, tensors: &[(String, Tensor)]) -> Result<(), Error> {
    let named = tensors.iter();
    store.load(named.map(|(name, tensor)| (name.as_str(), tensor.clone())))?;
    Ok(())
}
