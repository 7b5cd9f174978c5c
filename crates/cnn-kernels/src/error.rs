//! What can be wrong with a call, with the numbers in it.

use std::error::Error as StdError;

/// Why an operation cannot be computed. Operations return it inside [`candle_core::Error`], where
/// [`find_error`] finds it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has another shape than the operation needs.
    #[error("{op}: {what} has shape {found:?}, expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// Which argument.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// What would be accepted.
        expected: String,
    },
    /// A number of the configuration is out of range.
    #[error("{op}: {what} is {found}, expected {expected}")]
    Argument {
        /// The operation.
        op: &'static str,
        /// Which number.
        what: &'static str,
        /// Its value.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// A window does not fit into its padded input.
    #[error(
        "{op}: a window of {extent} along the {axis} does not fit into an input of {input} padded by {before} and {after}"
    )]
    WindowTooLarge {
        /// The operation.
        op: &'static str,
        /// `height` or `width`.
        axis: &'static str,
        /// Extent of the dilated window.
        extent: usize,
        /// Input size along the axis.
        input: usize,
        /// Padding before the input.
        before: usize,
        /// Padding after the input.
        after: usize,
    },
    /// The tensors' element types differ, or the operation does not know them.
    #[error("{op}: {what} is {found}, expected {expected}")]
    Element {
        /// The operation.
        op: &'static str,
        /// Which argument.
        what: &'static str,
        /// Its element type.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// The tensor lives on a device that has no implementation here.
    #[error("{op}: tensors on {found} are not supported, move them to the cpu")]
    Device {
        /// The operation.
        op: &'static str,
        /// The device.
        found: String,
    },
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        carry_error(error)
    }
}

/// Puts an error into candle's so that [`find_error`] finds it again. `candle_core::Error::wrap`
/// keeps of an error nothing but its text; what an [`std::io::Error`] holds stays whole.
pub fn carry_error(error: impl StdError + Send + Sync + 'static) -> candle_core::Error {
    candle_core::Error::Io(std::io::Error::other(error))
}

/// The error of type `E` that candle's holds, however deep, if it holds one.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_kernels::{Conv2dSpec, Error, FeatureMap, conv2d, find_error};
///
/// let zeros = |shape: [usize; 4]| Tensor::zeros(&shape, DType::F32, &Device::Cpu);
/// let images = FeatureMap::from_nchw(&zeros([1, 3, 5, 7])?)?;
/// let error = conv2d(&images, &zeros([8, 4, 3, 3])?, None, &Conv2dSpec::default()).unwrap_err();
/// let Some(Error::Shape { op, what, .. }) = find_error(&error) else {
///     panic!("{error}")
/// };
/// assert_eq!((*op, *what), ("conv2d", "the weight"));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn find_error<E: StdError + 'static>(error: &candle_core::Error) -> Option<&E> {
    match error {
        candle_core::Error::Io(error) => find_source(error.get_ref()?),
        candle_core::Error::WrappedContext { wrapped, .. } => find_source(wrapped.as_ref()),
        candle_core::Error::Context { inner, .. }
        | candle_core::Error::WithPath { inner, .. }
        | candle_core::Error::WithBacktrace { inner, .. } => find_error(inner),
        _ => None,
    }
}

/// The error of type `E` among this one and what it came from.
fn find_source<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref::<E>() {
        return Some(found);
    }
    let boxed = error.downcast_ref::<Box<candle_core::Error>>();
    match error.downcast_ref().or(boxed.map(AsRef::as_ref)) {
        Some(candle) => find_error(candle),
        None => find_source(error.source()?),
    }
}

/// The result of checking a call.
pub(crate) type Checked<T> = std::result::Result<T, Error>;
