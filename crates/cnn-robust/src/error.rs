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
