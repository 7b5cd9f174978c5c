//! The crate's error type.

use std::path::PathBuf;

use cnn_core::ArgumentError;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument is out of its range.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The network and the data have different numbers of classes.
    #[error(
        "the network has {network} classes and the data {data}; load it with a new head of {data}"
    )]
    Classes {
        /// Of the network.
        network: usize,
        /// Of the data.
        data: usize,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb: "create directory".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        source: std::io::Error,
    },
    /// Training.
    #[error(transparent)]
    Train(#[from] cnn_train::Error),
    /// Building or saving the network.
    #[error(transparent)]
    Model(#[from] cnn_models::Error),
    /// Reading data.
    #[error(transparent)]
    Data(#[from] cnn_data::Error),
    /// Weight files.
    #[error(transparent)]
    Weights(#[from] cnn_weights::Error),
    /// A layer could not be built or run; it is named.
    #[error(transparent)]
    Layer(cnn_layers::Error),
    /// A tensor operation outside any layer failed.
    #[error(transparent)]
    Tensor(candle_core::Error),
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
