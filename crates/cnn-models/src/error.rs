//! What can be wrong when a model is named, built, loaded or saved.

use std::path::PathBuf;

/// Why a network cannot be built, loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model of this name is registered.
    #[error("unknown model `{name}`{suggestion}; {count} are registered")]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// `, did you mean …?` or nothing.
        suggestion: String,
        /// Number of registered models.
        count: usize,
    },
    /// The model asked for is not the one that the weights' `config.json` names.
    #[error("{} says architecture `{found}`, but model `{asked}` was asked for", path.display())]
    Contradiction {
        /// The `config.json`.
        path: PathBuf,
        /// The architecture it names.
        found: String,
        /// The model asked for.
        asked: String,
    },
    /// A bare weight file does not say which model it is for.
    #[error(
        "{} does not say which architecture it is for (no config.json beside it){fitting}: \
         name the model",
        path.display()
    )]
    NoArchitecture {
        /// The weight file or directory.
        path: PathBuf,
        /// `; its tensors are those of …`, or nothing.
        fitting: String,
    },
    /// The checkpoints of a run do not say which model they are for, as those of a program that
    /// does not write it.
    #[error(
        "{} holds weights, but no config.json says which architecture they are for: name the model; a program writes that file with \
         `Trainer::with_companion(\"config.json\", network.config_json())`",
        path.display()
    )]
    RunWithoutConfig {
        /// The run's `best` or `last`.
        path: PathBuf,
    },
    /// A directory holds no weight file, or several.
    #[error("{} holds {found}, expected {expected}", path.display())]
    WeightFiles {
        /// The directory.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A `config.json` that cannot be understood.
    #[error("{}: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be accepted.
        what: String,
    },
    /// What `config.json` declares is not what the weights are made for.
    #[error("{}: {what} is {declared}, but the weights' `{tensor}` is made for {found}", path.display())]
    Declared {
        /// The weight file.
        path: PathBuf,
        /// Which number.
        what: &'static str,
        /// What `config.json` says.
        declared: usize,
        /// The tensor that says otherwise.
        tensor: String,
        /// What it says.
        found: usize,
    },
    /// A number of a [`ModelConfig`](crate::ModelConfig) is out of range for the model.
    #[error("{model}: {what} is {found}, expected {expected}")]
    Argument {
        /// The model.
        model: &'static str,
        /// Which number.
        what: &'static str,
        /// Its value.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// A [`ModelConfig`](crate::ModelConfig) says something that the model's family does not know.
    #[error("{family}: `{name}` is not known{suggestion} (accepted: {accepted})")]
    UnknownArgument {
        /// The family.
        family: &'static str,
        /// What is said.
        name: String,
        /// `, did you mean …?` or nothing.
        suggestion: String,
        /// What the family knows.
        accepted: String,
    },
    /// A width is planned for something that is no layer of the model, or one that has no width of
    /// its own.
    #[error("{model}: a width is planned for `{layer}`, which is no layer that has one")]
    UnknownWidth {
        /// The model.
        model: &'static str,
        /// The path in the plan.
        layer: String,
    },
    /// A backbone is wanted of a classifier that was not built in stages.
    #[error(
        "{model} has no backbone of its own: its `ModelSpec` would have to say `Build::Staged`"
    )]
    NoBackbone {
        /// The model.
        model: &'static str,
    },
    /// A model is not for what it was asked for.
    #[error("`{model}` is a model for {found}, expected one for {expected}")]
    OtherKind {
        /// The model.
        model: &'static str,
        /// What it is for.
        found: crate::Kind,
        /// What it was asked for.
        expected: crate::Kind,
    },
    /// A [`ModelSpec`](crate::ModelSpec) of one's own leaves something out.
    #[error("the model cannot be built without {what}")]
    NotSaid {
        /// What is missing.
        what: &'static str,
    },
    /// A directory cannot be made.
    #[error("cannot make the directory {}: {source}", path.display())]
    Directory {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file or directory cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A weight file cannot be understood or written.
    #[error(transparent)]
    Weights(#[from] cnn_weights::Error),
    /// A file cannot be written, or preprocessing is out of range.
    #[error(transparent)]
    Core(#[from] cnn_core::Error),
    /// The weights do not fit the model.
    #[error("{}, loaded as {model}{}: {source}{fitting}", path.display(), without(.wrappers))]
    Fit {
        /// The weight file.
        path: PathBuf,
        /// The model.
        model: String,
        /// The prefixes that the names were read without, one after the other; empty where there
        /// were none.
        wrappers: String,
        /// Which tensors do not fit.
        source: Box<cnn_weights::Error>,
        /// `; its tensors are those of …`, or nothing.
        fitting: String,
    },
    /// Tensors do not fit the model with other numbers of channels.
    #[error("{model} with these numbers of channels: {source}")]
    Resized {
        /// The model.
        model: &'static str,
        /// Which tensors do not fit.
        source: Box<cnn_weights::Error>,
    },
    /// A file holds the network several times.
    #[error(
        "{} holds {model} under several prefixes, {prefixes}: keep one of them in a file of its own",
        path.display()
    )]
    SeveralNetworks {
        /// The weight file.
        path: PathBuf,
        /// The model.
        model: String,
        /// The prefixes, as a list.
        prefixes: String,
    },
    /// A moving average of the weights was asked for.
    #[error(
        "{} holds no moving average of the weights (looked for were `state_dict_ema`, \
         `model_ema`, `ema` and names under such a prefix)",
        path.display()
    )]
    NoAverage {
        /// The weight file.
        path: PathBuf,
    },
    /// A layer could not be built or run; it is named.
    #[error(transparent)]
    Layer(cnn_layers::Error),
    /// A tensor operation outside any layer failed.
    #[error(transparent)]
    Tensor(candle_core::Error),
}

fn without(wrappers: &str) -> String {
    if wrappers.is_empty() {
        String::new()
    } else {
        format!(" without the `{wrappers}` before its names")
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
