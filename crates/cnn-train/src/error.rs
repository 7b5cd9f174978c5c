//! The crate's error type.

use std::io;
use std::path::PathBuf;

use cnn_core::ArgumentError;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument is out of its range.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// A value that is not a finite number appeared.
    #[error(
        "step {step} of epoch {epoch}: the first value that is not finite appeared in {place}; the batch held {}",
        some(batch)
    )]
    NotFinite {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step within the epoch, counted from 1.
        step: usize,
        /// The layer, or the parameter whose gradient it is.
        place: String,
        /// The names of the batch's samples; the message shows the first of them.
        batch: Vec<String>,
    },
    /// The loss left every reasonable range.
    #[error(
        "step {step} of epoch {epoch}: training diverged, the loss is {loss:.3e} and was {first:.3} at first; a lower learning rate is needed"
    )]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step within the epoch, counted from 1.
        step: usize,
        /// The loss.
        loss: f64,
        /// The loss of the run's first step.
        first: f64,
    },
    /// There is nothing to take validation images from.
    #[error("no class has two images, of which one could be held out for validation")]
    NothingToHoldOut,
    /// No training image of a class can be read.
    #[error(
        "none of the {images} training images of `{class}` can be read, the first: {first}: {reason}; \
         mend them, or remove the class's folder"
    )]
    UnreadableClass {
        /// The class.
        class: String,
        /// How many images it has.
        images: usize,
        /// The first of them.
        first: String,
        /// What is wrong with that.
        reason: String,
    },
    /// The images of a run that goes on are not those that it began with.
    #[error(
        "the images are not those that the run began with: {difference}; put them back, or begin a new run"
    )]
    ImagesChanged {
        /// How many images are gone and new, and the first of each.
        difference: String,
    },
    /// A saved state does not belong to this run or is damaged.
    #[error("{}: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb: "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Files, names and run directories.
    #[error(transparent)]
    Core(#[from] cnn_core::Error),
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
    /// What a task, a step, a loss or a metric of the user's own reports.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// How many names a message shows.
const SHOWN: usize = 5;

fn some(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        format!("{shown} and {} more", names.len() - SHOWN)
    } else {
        shown
    }
}

impl Error {
    /// What a task, a step, a loss or a metric of one's own reports: an error or a text. An error
    /// that this type has a variant for becomes that variant.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        error
            .into()
            .downcast::<Self>()
            .map(|error| *error)
            .or_else(|other| {
                other
                    .downcast::<candle_core::Error>()
                    .map(|error| Self::from(*error))
            })
            .unwrap_or_else(Self::Other)
    }

    /// An argument of that name is out of its range.
    pub fn argument(name: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Argument(ArgumentError::new(name, found, expected))
    }

    /// What a step or a task of one's own reports of a value that is not finite; the trainer adds
    /// where in the run it was.
    pub fn not_finite(place: impl Into<String>) -> Self {
        Self::NotFinite {
            epoch: 0,
            step: 0,
            place: place.into(),
            batch: Vec::new(),
        }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
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
