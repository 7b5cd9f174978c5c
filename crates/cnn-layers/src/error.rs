//! What can be wrong with a configuration or a store.

use cnn_core::ArgumentError;
use cnn_kernels::{carry_error, find_error};

use crate::LayerKind;

/// Why a layer cannot be built or run. Layers return it inside [`candle_core::Error`], where
/// [`Error::find`] finds it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument is out of its range.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
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
    /// Two layers of one model are built at one place.
    #[error("two layers take `{name}`; layers that share it are built from `Builder::shared`")]
    Taken {
        /// Name of the tensor.
        name: String,
    },
    /// A layer that was built for inference holds a copy of weights that have changed since.
    #[error("{layer} was built for inference before the weights changed: build the model again")]
    Stale {
        /// Path of the layer.
        layer: String,
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
        /// Kind of the layer, with its attributes.
        kind: Box<LayerKind>,
        /// What went wrong.
        source: Box<candle_core::Error>,
    },
    /// A choice of stages that does not name stages in ascending order.
    #[error("stages are chosen in ascending order and at least one, from 0 to {last}")]
    Stages {
        /// The last stage.
        last: usize,
    },
    /// A backbone that cannot give the maps behind a stage.
    #[error(
        "this backbone does not go on from stage {stage}: it would have to have \
         `Backbone::forward_stages_from`"
    )]
    NoLaterStages {
        /// The stage.
        stage: usize,
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

impl Error {
    /// An argument of that name is out of its range.
    pub fn argument(name: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Argument(ArgumentError::new(name, found, expected))
    }

    /// The error that candle's holds, if it came from a layer or a store.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use cnn_layers::{
    ///     Context, Conv2dConfig, Error, FeatureMap, KernelError, Layer, Mode, Store, find_error,
    /// };
    ///
    /// let conv =
    ///     Conv2dConfig::new(3, 8, 3).build(&Store::new(0).builder(Mode::Eval).pp("stem.conv1"))?;
    /// let grey = FeatureMap::from_nchw(&Tensor::zeros((1, 1, 9, 7), DType::F32, &Device::Cpu)?)?;
    /// let error = conv.forward(&grey, &Context::eval()).unwrap_err();
    /// let Some(Error::Layer { path, source, .. }) = Error::find(&error) else {
    ///     panic!("{error}")
    /// };
    /// assert_eq!(path, "stem.conv1");
    /// assert!(matches!(
    ///     find_error(source),
    ///     Some(KernelError::Shape { .. })
    /// ));
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn find(error: &candle_core::Error) -> Option<&Self> {
        find_error(error)
    }
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        carry_error(error)
    }
}

/// Takes the layer's error out of candle's; an error of candle's own stays as it is.
impl TryFrom<candle_core::Error> for Error {
    type Error = candle_core::Error;

    fn try_from(error: candle_core::Error) -> Result<Self, candle_core::Error> {
        match error {
            candle_core::Error::Io(io) => io.downcast().map_err(candle_core::Error::Io),
            candle_core::Error::WithBacktrace { inner, .. } if Self::find(&inner).is_some() => {
                Self::try_from(*inner)
            }
            other => Err(other),
        }
    }
}
