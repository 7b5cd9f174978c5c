//! The crate's error type.

use std::fmt;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Parts of the report contradict each other or themselves.
    #[error("`{name}`: found {found}, expected {expected}")]
    InvalidArgument {
        /// The field of the report.
        name: &'static str,
        /// What it holds.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// A picture could not be made smaller or encoded.
    #[error("cannot show {path}")]
    Picture {
        /// The image's name.
        path: String,
        /// What went wrong.
        source: cnn_data::Error,
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
    #[error("cannot compute the metrics of the classes")]
    Metrics(#[from] cnn_metrics::Error),
    /// The chart library refused a chart.
    #[error("cannot draw the chart of {chart}: {reason}")]
    Chart {
        /// What the chart shows.
        chart: &'static str,
        /// What the library answered.
        reason: String,
    },
    /// The network could not be run.
    #[error("cannot run the network")]
    Tensor(#[from] candle_core::Error),
    /// A network could not be built again.
    #[error("cannot build the network")]
    Network(#[from] cnn_models::Error),
    /// No gradient came back to the input.
    #[error("no gradient reaches the {what}: build the model in `Mode::Eval`, not `Mode::Inference`")]
    NoGradient {
        /// What it was asked for.
        what: &'static str,
    },
    /// The page could not be put together.
    #[error("cannot write the page")]
    Template(#[from] askama::Error),
}

impl Error {
    pub(crate) fn argument(name: &'static str, found: impl fmt::Display, expected: impl Into<String>) -> Self {
        Self::InvalidArgument { name, found: found.to_string(), expected: expected.into() }
    }
}
