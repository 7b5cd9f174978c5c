//! What can be wrong with a configuration or a store.

/// Why a layer cannot be built or run. Layers return it inside [`candle_core::Error`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number of a configuration is out of range.
    #[error("{layer}: {what} is {found}, expected {expected}")]
    Config {
        /// Path of the layer, as `layer1.0.conv1`.
        layer: String,
        /// Which number.
        what: &'static str,
        /// Its value.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// A name is already taken by a tensor of another shape or kind.
    #[error("{name} is {found} in the store, but {wanted} is asked for")]
    Conflict {
        /// Name of the tensor.
        name: String,
        /// What the store holds.
        found: String,
        /// What the layer needs.
        wanted: String,
    },
    /// The store has no tensor of this name.
    #[error("the store has no tensor `{name}`{suggestion}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// `, did you mean …?` or nothing.
        suggestion: String,
    },
    /// A tensor has another shape than the store's.
    #[error("{name} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The store's shape.
        expected: Vec<usize>,
    },
    /// A layer failed; the source says why.
    #[error("{path} ({kind}): {source}")]
    Layer {
        /// Path of the layer.
        path: String,
        /// Kind of the layer, as `conv2d`.
        kind: &'static str,
        /// What went wrong.
        source: candle_core::Error,
    },
    /// A stage number that the model does not have.
    #[error("stage {stage} does not exist, the model has stages 0 to {last}")]
    Stage {
        /// The number asked for.
        stage: usize,
        /// The last stage.
        last: usize,
    },
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        candle_core::Error::wrap(error)
    }
}
