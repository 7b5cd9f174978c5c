//! The crate's error type.

use std::fmt;

use cnn_core::ArgumentError;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument is out of its range.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// A picture could not be made smaller or encoded.
    #[error("cannot show {path}")]
    Picture {
        /// The image's name.
        path: String,
        /// What went wrong.
        source: Box<cnn_data::Error>,
    },
    /// The resizing library refused a map.
    #[error("cannot bring a map of {from} to {to}: {reason}")]
    Resize {
        /// Height and width that it has.
        from: String,
        /// Height and width that were asked for.
        to: String,
        /// What the library answered.
        reason: String,
    },
    /// A metric could not be computed.
    #[cfg(feature = "report")]
    #[error("cannot compute the metrics of the classes")]
    Metrics(#[from] cnn_metrics::Error),
    /// The chart library refused a chart.
    #[cfg(feature = "report")]
    #[error("cannot draw the chart of {chart}: {reason}")]
    Chart {
        /// What the chart shows.
        chart: &'static str,
        /// What the library answered.
        reason: String,
    },
    /// A network could not be run, or its weights not be read or changed.
    #[error("cannot run the network")]
    Network(#[from] candle_core::Error),
    /// What a network does could not be told.
    #[error("cannot tell what the network does")]
    Graph(#[source] cnn_graph::Error),
    /// A network could not be built again.
    #[error("cannot build the network")]
    Model(#[source] Box<cnn_models::Error>),
    /// Images could not be read as they were asked for.
    #[error("cannot read the images")]
    Data(#[source] Box<cnn_data::Error>),
    /// No gradient came back to the input.
    #[error(
        "no gradient reaches the {what}: build the model in `Mode::Eval`, not `Mode::Inference`"
    )]
    NoGradient {
        /// What it was asked for.
        what: &'static str,
    },
    /// No image of a dataset can be read.
    #[error("nothing readable: {reasons}")]
    NothingReadable {
        /// What is wrong with the first of them.
        reasons: String,
    },
    /// The page could not be put together.
    #[cfg(feature = "report")]
    #[error("cannot write the page")]
    Template(#[from] askama::Error),
}

impl From<cnn_graph::Error> for Error {
    fn from(error: cnn_graph::Error) -> Self {
        match error {
            cnn_graph::Error::Model(error) => Self::Network(error),
            error => Self::Graph(error),
        }
    }
}

impl From<cnn_models::Error> for Error {
    fn from(error: cnn_models::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<cnn_data::Error> for Error {
    fn from(error: cnn_data::Error) -> Self {
        Self::Data(Box::new(error))
    }
}

impl Error {
    /// For what an image library refused.
    pub(crate) fn picture(path: impl Into<String>, source: cnn_data::Error) -> Self {
        Self::Picture {
            path: path.into(),
            source: Box::new(source),
        }
    }

    pub(crate) fn argument(
        name: &'static str,
        found: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument(ArgumentError::new(name, found, expected))
    }
}
