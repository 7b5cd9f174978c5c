//! What can be wrong with a call, with the numbers in it.

/// Why an operation cannot be computed. Operations return it inside [`candle_core::Error`].
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
        candle_core::Error::wrap(error)
    }
}

/// The result of checking a call.
pub(crate) type Checked<T> = std::result::Result<T, Error>;
