//! What can be wrong with a mask.

use std::path::PathBuf;

/// Why the mask of a photo cannot be used.
///
/// ```
/// use cnn_data::MaskFault;
///
/// let fault = MaskFault::Value {
///     x: 3,
///     y: 7,
///     value: "12".to_string(),
///     expected: "0 to 10, or 255 where the class is unknown".to_string(),
/// };
/// assert_eq!(
///     fault.to_string(),
///     "pixel (3, 7) of the mask is 12, expected 0 to 10, or 255 where the class is unknown"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaskFault {
    /// There is none.
    #[error("a photo without a mask; looked for {looked_for}")]
    Missing {
        /// Where it would have been found.
        looked_for: String,
    },
    /// There are several, and none of them is more likely than the other.
    #[error("a photo with two masks, {} and {}", masks[0].display(), masks[1].display())]
    Second {
        /// Two of its masks.
        masks: [PathBuf; 2],
    },
    /// It is stored in a format that does not keep numbers.
    #[error("no mask: {found}; masks are read from PNG files")]
    Format {
        /// What it is, and why that is no mask.
        found: String,
    },
    /// It is not of its photo's size.
    #[error("a mask of {found_width}x{found_height} pixels for a photo of {width}x{height}")]
    Size {
        /// Columns of the mask.
        found_width: usize,
        /// Rows of the mask.
        found_height: usize,
        /// Columns of the photo.
        width: usize,
        /// Rows of the photo.
        height: usize,
    },
    /// A pixel is no class: a number beyond the classes, or a color that is in no table.
    #[error("pixel ({x}, {y}) of the mask is {value}, expected {expected}")]
    Value {
        /// The column.
        x: usize,
        /// The row.
        y: usize,
        /// The number or the color.
        value: String,
        /// What would be accepted.
        expected: String,
    },
}
