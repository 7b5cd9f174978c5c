//! A discriminator of features and predictions together (Long et al. 2018, "CDAN",
//! arXiv:1705.10667), where sure predictions count more if that is asked for ("CDAN+E").

use cnn_core::Key;
use cnn_layers::{Context, Mode, Store};
use cnn_train::Losses;

use super::super::losses::{RandomMultilinearMap, entropy_weights, multilinear_map};
use super::super::{
    DomainDiscriminator, DomainDiscriminatorConfig, DomainPair, TransferLoss, reverse_gradient,
};
use super::adversarial::{Judgement, lambda};
use crate::Error;

/// Products of features and classes beyond which random ones are taken; the paper's.
const MOST_PRODUCTS: usize = 4096;
/// How many random products there are then; the paper's.
const RANDOM_PRODUCTS: usize = 1024;

/// A discriminator that sees which features go with which predictions.
pub struct ConditionalAdversarial {
    store: Store,
    discriminator: DomainDiscriminator,
    /// `None` where all products are taken.
    random: Option<RandomMultilinearMap>,
    by_entropy: bool,
}

impl ConditionalAdversarial {
    /// A discriminator with hidden layers of so many; `seed` decides its first weights.
    ///
    /// # Errors
    /// If a number is 0.
    pub fn new(features: usize, classes: usize, hidden: usize, seed: u64) -> Result<Self, Error> {
        let store = Store::new(seed);
        let key = Key::new(seed).stream("multilinear map");
        let random = (features.saturating_mul(classes) > MOST_PRODUCTS)
            .then(|| RandomMultilinearMap::new(features, classes, RANDOM_PRODUCTS, key));
        let random = random.transpose()?;
        let products = match random {
            Some(_) => RANDOM_PRODUCTS,
            None => features * classes,
        };
        let at = store.builder(Mode::Train).pp("domain_discriminator");
        Ok(Self {
            discriminator: DomainDiscriminatorConfig::new(products, hidden).build(&at)?,
            store,
            random,
            by_entropy: false,
        })
    }

    /// Weighs each sample by how sure its prediction is.
    #[must_use]
    pub fn by_entropy(self) -> Self {
        Self {
            by_entropy: true,
            ..self
        }
    }
}

impl TransferLoss for ConditionalAdversarial {
    fn loss(&self, pair: &DomainPair<'_>, cx: &Context<'_>) -> Result<Losses, Error> {
        let lambda = lambda(pair)?;
        let features = reverse_gradient(&pair.features.joined()?, lambda)?;
        let logits = pair.logits.joined()?;
        let products = match &self.random {
            Some(random) => random.forward(&features, &logits)?,
            None => multilinear_map(&features, &logits)?,
        };
        let of_domain = self.discriminator.forward_map(&products, cx)?;
        let source = pair.features.source.dim(0)?;
        let judgement = Judgement::split(&of_domain, source)?;
        if !self.by_entropy {
            return judgement.losses(None, lambda);
        }
        let weights = Judgement::split(&entropy_weights(&logits)?, source)?;
        judgement.losses(Some(weights.domains()), lambda)
    }

    fn trained(&self) -> Option<&Store> {
        Some(&self.store)
    }
}
