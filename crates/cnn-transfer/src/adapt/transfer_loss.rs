//! What a method adds to the loss of the source.

use cnn_layers::{Context, Store};
use cnn_train::Losses;

use super::Domains;
use crate::Error;

/// What the network makes of a batch of each domain, and when.
#[derive(Debug, Clone, Copy)]
pub struct DomainPair<'a> {
    /// The features behind the bottleneck, `(N, F)` and `(M, F)`.
    pub features: Domains<'a>,
    /// The scores, `(N, K)` and `(M, K)`.
    pub logits: Domains<'a>,
    /// Updates made before this one.
    pub iteration: usize,
    /// Updates in all, at least 1.
    pub iterations: usize,
}

/// What a method adds to the cross-entropy of the source, as a function of features and scores of
/// both domains.
///
/// The labels of the source are not among what it is given, and the target has none.
pub trait TransferLoss: Send + Sync {
    /// The loss, and values to log.
    ///
    /// # Errors
    /// If the shapes do not fit.
    fn loss(&self, pair: &DomainPair<'_>, cx: &Context<'_>) -> Result<Losses, Error>;

    /// What is trained beside the network, under names of its own, as a discriminator. Default:
    /// nothing.
    fn trained(&self) -> Option<&Store> {
        None
    }
}
