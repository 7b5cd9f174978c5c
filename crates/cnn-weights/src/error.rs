//! The errors of this crate.

use std::io;
use std::path::PathBuf;

use crate::LoadReport;

/// What can go wrong with a weight file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// What was wrong inside the named file.
    #[error("`{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was wrong; part of this error's message, hence not its source.
        reason: Box<Error>,
    },

    /// The content is of no format that is read here.
    #[error("{found}; accepted are safetensors files and PyTorch files written by `torch.save`")]
    UnknownFormat {
        /// What the content looks like.
        found: String,
    },

    /// The file breaks the rules of its format.
    #[error("broken {format} file: {reason}")]
    Malformed {
        /// The format.
        format: &'static str,
        /// What was wrong and where.
        reason: String,
    },

    /// The pickle breaks the rules of pickles.
    #[error("broken pickle at byte {offset}: {reason}")]
    Pickle {
        /// Where in the pickle.
        offset: usize,
        /// What was wrong.
        reason: String,
    },

    /// The pickle calls a function outside the list of harmless ones.
    #[error("refused: the pickle calls `{function}`; only tensors are read")]
    Refused {
        /// The function, as `module.name`.
        function: String,
    },

    /// The file is valid, yet of a kind that is not read.
    #[error("{0}")]
    Unsupported(String),

    /// The file asks for more than is allowed.
    #[error("{what}: {found}, at most {limit} allowed")]
    Limit {
        /// What there is too much of.
        what: String,
        /// How much the file asks for.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },

    /// Something is wrong with one tensor.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What was wrong.
        reason: String,
    },

    /// No tensor has this name.
    #[error("no tensor is named `{name}`{}", hint(.suggestion))]
    NotFound {
        /// The name that was asked for.
        name: String,
        /// A tensor that is there, with a similar name.
        suggestion: Option<String>,
    },

    /// Two tensors have the same name.
    #[error("two tensors are named `{name}`")]
    Duplicate {
        /// The name.
        name: String,
    },

    /// Weights did not fit the model.
    #[error("the weights do not fit the model\n{0}")]
    Incomplete(Box<LoadReport>),

    /// candle failed to make or read a tensor.
    #[error("tensor `{name}`")]
    Candle {
        /// The tensor.
        name: String,
        /// Why.
        source: candle_core::Error,
    },

    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] cnn_core::Error),
}

impl Error {
    pub(crate) fn tensor(name: &str, reason: impl Into<String>) -> Self {
        Self::Tensor {
            name: name.to_string(),
            reason: reason.into(),
        }
    }

    pub(crate) fn limit(what: impl Into<String>, found: usize, limit: usize) -> Self {
        Self::Limit {
            what: what.into(),
            found: found as u64,
            limit: limit as u64,
        }
    }
}

impl From<cnn_pickle::Error> for Error {
    fn from(error: cnn_pickle::Error) -> Self {
        match error {
            cnn_pickle::Error::Broken { offset, reason } => Self::Pickle { offset, reason },
            cnn_pickle::Error::Refused { function } => Self::Refused { function },
            cnn_pickle::Error::Limit { what, found, limit } => Self::limit(what, found, limit),
            other => Self::Unsupported(other.to_string()),
        }
    }
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}
