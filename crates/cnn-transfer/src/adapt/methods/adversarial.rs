//! A discriminator that the features are to deceive (Ganin et al. 2016, "DANN", arXiv:1505.07818),
//! with the spectral penalty where that is asked for (Chen et al. 2019, "BSP").

use candle_core::Tensor;
use cnn_layers::{Context, Mode, Store};
use cnn_train::Losses;

use super::super::losses::{BatchSpectralPenalty, domain_accuracy, domain_adversarial};
use super::super::{
    DomainDiscriminator, DomainDiscriminatorConfig, DomainPair, Domains, TransferLoss, WarmStart,
    reverse_gradient,
};
use crate::Error;

/// How steeply the reversed gradient grows over the run; the paper's.
const ALPHA: f64 = 10.;

/// How much of the gradient is reversed at an update: from 0 at the first towards 1 at the last
/// one.
pub(super) fn lambda(pair: &DomainPair<'_>) -> Result<f64, Error> {
    let warm_start = WarmStart {
        alpha: ALPHA,
        iterations: pair.iterations,
        ..WarmStart::default()
    };
    warm_start.lambda(pair.iteration)
}

/// A number of each row: what a discriminator says of it, or how much it counts; of the source's
/// rows and of those behind them.
pub(super) struct Judgement {
    source: Tensor,
    target: Tensor,
}

impl Judgement {
    /// The logits of joined batches, of which so many are of the source.
    pub(super) fn split(logits: &Tensor, source: usize) -> Result<Self, Error> {
        let all = logits.dim(0)?;
        Ok(Self {
            source: logits.narrow(0, 0, source)?,
            target: logits.narrow(0, source, all - source)?,
        })
    }

    pub(super) fn domains(&self) -> Domains<'_> {
        Domains {
            source: &self.source,
            target: &self.target,
        }
    }

    /// The discriminator's loss with its accuracy and the share of the gradient that is reversed.
    pub(super) fn losses(
        &self,
        weights: Option<Domains<'_>>,
        lambda: f64,
    ) -> Result<Losses, Error> {
        let logits = self.domains();
        let accuracy = domain_accuracy(logits)?;
        Ok(Losses::new(domain_adversarial(logits, weights)?)
            .with("domain_top1", accuracy)
            .with("lambda", lambda))
    }
}

/// A discriminator behind a reversed gradient.
pub struct DomainAdversarial {
    store: Store,
    discriminator: DomainDiscriminator,
    /// How much the spectral penalty counts.
    spectral: Option<f64>,
}

impl DomainAdversarial {
    /// A discriminator of so many features with hidden layers of so many; `seed` decides its first
    /// weights.
    ///
    /// # Errors
    /// If a number is 0.
    pub fn new(features: usize, hidden: usize, seed: u64) -> Result<Self, Error> {
        let store = Store::new(seed);
        let at = store.builder(Mode::Train).pp("domain_discriminator");
        Ok(Self {
            discriminator: DomainDiscriminatorConfig::new(features, hidden).build(&at)?,
            store,
            spectral: None,
        })
    }

    /// Adds the largest singular values of the features, times this.
    #[must_use]
    pub fn with_spectral_penalty(self, weight: f64) -> Self {
        Self {
            spectral: Some(weight),
            ..self
        }
    }
}

impl TransferLoss for DomainAdversarial {
    fn loss(&self, pair: &DomainPair<'_>, cx: &Context<'_>) -> Result<Losses, Error> {
        let lambda = lambda(pair)?;
        let joined = reverse_gradient(&pair.features.joined()?, lambda)?;
        let logits = self.discriminator.forward(&joined, cx)?;
        let judgement = Judgement::split(&logits, pair.features.source.dim(0)?)?;
        let mut losses = judgement.losses(None, lambda)?;
        if let Some(weight) = self.spectral {
            let penalty = BatchSpectralPenalty::default().loss(pair.features)?;
            losses.total = (losses.total + (penalty * weight)?)?;
        }
        Ok(losses)
    }

    fn trained(&self) -> Option<&Store> {
        Some(&self.store)
    }
}
