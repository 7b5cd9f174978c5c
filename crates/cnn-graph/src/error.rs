//! Why a graph cannot be made or run.

/// Why a graph cannot be made or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A layer read a value that no layer gave.
    #[error(
        "{path} ({kind}): its input {input} was computed outside any layer; \
         run that operation inside `Context::layer`, or as a layer such as `Add`, `Concat` or `Flatten`"
    )]
    OutsideLayer {
        /// Path of the layer that read it.
        path: String,
        /// Name of that layer's kind.
        kind: &'static str,
        /// Which of its inputs, counted from 0.
        input: usize,
    },
    /// An output of the network is a value that no layer gave.
    #[error(
        "the output `{output}` was computed outside any layer; \
         run that operation inside `Context::layer`, or as a layer such as `Add`, `Concat` or `Flatten`"
    )]
    OutputOutsideLayer {
        /// Name of the output.
        output: String,
    },
    /// Two outputs have one name.
    #[error("two outputs are called `{output}`; each needs a name of its own")]
    SameOutput {
        /// The name.
        output: String,
    },
    /// A node is of a kind that nobody but its author knows.
    #[error("{path}: a layer of the kind `{kind}`, which the graph does not know")]
    UnknownKind {
        /// Path of the layer.
        path: String,
        /// Name of its kind.
        kind: &'static str,
    },
    /// A node stands for several layers.
    #[error(
        "{path} ({kind}): several layers were folded into one for inference; \
         watch a model that was built for `Mode::Eval`"
    )]
    Folded {
        /// Path of the layer.
        path: String,
        /// Name of its kind.
        kind: &'static str,
    },
    /// A node has too few inputs, or one of them has another form than its kind reads.
    #[error("{path} ({kind}): its input {input} is {found}, expected {expected}")]
    Input {
        /// Path of the layer.
        path: String,
        /// Name of its kind.
        kind: &'static str,
        /// Which of its inputs, counted from 0.
        input: usize,
        /// What was found.
        found: &'static str,
        /// What the kind reads.
        expected: &'static str,
    },
    /// The interpreter could not compute a node; the source says why.
    #[error("{path} ({kind}): {source}")]
    Compute {
        /// Path of the layer.
        path: String,
        /// Name of its kind.
        kind: &'static str,
        /// What went wrong.
        source: Box<candle_core::Error>,
    },
    /// The model that was watched failed.
    #[error(transparent)]
    Model(#[from] candle_core::Error),
}
