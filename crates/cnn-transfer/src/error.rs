//! The crate's error type.

use std::path::PathBuf;

use cnn_core::ArgumentError;
use cnn_data::Skipped;

use crate::classes::some;

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
    /// The dataset has no labels that predictions could be compared with.
    #[error("the dataset has no labels, so there is nothing to compare with")]
    NoLabels,
    /// The dataset has no masks that predictions could be compared with.
    #[error("the images have no masks, so there is nothing to compare with")]
    NoMasks,
    /// The dataset has no boxes that predictions could be compared with.
    #[error(
        "the images have no boxes, so there is nothing to compare with; \
         boxes are read from Pascal VOC's XML, COCO's JSON and YOLO's text"
    )]
    NoBoxes,
    /// An image of a labelled dataset has no label.
    #[error("{path} has no label")]
    Unlabelled {
        /// The image's lasting name.
        path: String,
    },
    /// The dataset has more classes than the network, whose classes have no names.
    #[error("the dataset has {data} classes, {model} has {network}")]
    MoreClasses {
        /// The model's name.
        model: &'static str,
        /// How many classes the network has.
        network: usize,
        /// How many classes the dataset has.
        data: usize,
    },
    /// The dataset has classes that the network does not know by name.
    #[error(
        "{model} does not know the classes {}; it has {}, as {}, …",
        some(unknown), known.len(), examples(known)
    )]
    UnknownClasses {
        /// The model's name.
        model: &'static str,
        /// The classes of the dataset that it does not know; the message shows the first of them.
        unknown: Vec<String>,
        /// All classes that it knows, which are what would be accepted.
        known: Vec<String>,
    },
    /// No image of the dataset could be read.
    #[error("nothing readable: {}", reasons(skipped))]
    NothingReadable {
        /// Each image with what was wrong with it; the message shows the first of them.
        skipped: Vec<Skipped>,
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
    Train(Box<cnn_train::Error>),
    /// Building or saving the network.
    #[error(transparent)]
    Model(Box<cnn_models::Error>),
    /// Reading data.
    #[error(transparent)]
    Data(#[from] cnn_data::Error),
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] cnn_metrics::Error),
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

/// Two names; one twice where there are no others.
fn examples(names: &[String]) -> String {
    let two: Vec<&str> = names.iter().cycle().take(2).map(String::as_str).collect();
    two.join(", ")
}

fn reasons(skipped: &[Skipped]) -> String {
    let reason = |skipped: &Skipped| format!("{}: {}", skipped.path, skipped.reason);
    let reasons: Vec<String> = skipped.iter().take(3).map(reason).collect();
    reasons.join("; ")
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

impl From<cnn_models::Error> for Error {
    fn from(error: cnn_models::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<cnn_train::Error> for Error {
    fn from(error: cnn_train::Error) -> Self {
        Self::Train(Box::new(error))
    }
}
