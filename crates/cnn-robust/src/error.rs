//! The crate's error type.

use cnn_core::ArgumentError;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument is out of its range.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The scores of an image are not finite, so no attack can be judged by them.
    #[error("the scores of image {sample} are not finite")]
    NotFinite {
        /// The image's number.
        sample: u64,
    },
    /// Training with one step of attack has learnt that step alone.
    #[error(
        "catastrophic overfitting after {updates} updates: of {images} training images {one_step} are right under one step of the attack, \
         and {many_steps} under ten; take a smaller size, fewer epochs, or a method of several steps, such as pgd"
    )]
    CatastrophicOverfitting {
        /// Updates so far.
        updates: usize,
        /// Images of the batch that was looked at.
        images: usize,
        /// How many are right under one step.
        one_step: usize,
        /// How many are right under many.
        many_steps: usize,
    },
    /// No bounds are known for a layer.
    #[error(
        "{path} ({kind}): no bounds are known for this layer; convolutions, linear layers, batch-norm, activations, pooling, \
         resizing, sums, concatenation and scaled channels have them"
    )]
    Unbounded {
        /// Path of the layer.
        path: String,
        /// Name of its kind.
        kind: &'static str,
    },
    /// What a network computes cannot be told, or a layer of it not be computed; it is named.
    #[error(transparent)]
    Graph(#[from] cnn_graph::Error),
    /// Training.
    #[error(transparent)]
    Train(Box<cnn_train::Error>),
    /// Reading data.
    #[error(transparent)]
    Data(#[from] cnn_data::Error),
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] cnn_metrics::Error),
    /// A layer could not be built or run; it is named.
    #[error(transparent)]
    Layer(cnn_layers::Error),
    /// A tensor operation outside any layer failed.
    #[error(transparent)]
    Tensor(candle_core::Error),
    /// What a model of one's own reports.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) fn argument(
        name: &'static str,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument(ArgumentError::new(name, found, expected))
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        match cnn_layers::Error::try_from(error) {
            Ok(error) => Self::Layer(error),
            Err(error) => Self::Tensor(error),
        }
    }
}

impl From<cnn_layers::Error> for Error {
    fn from(error: cnn_layers::Error) -> Self {
        Self::Layer(error)
    }
}

impl From<cnn_train::Error> for Error {
    fn from(error: cnn_train::Error) -> Self {
        Self::Train(Box::new(error))
    }
}
