//! Output-size arithmetic, shared by convolution and pooling.

use std::ops::Range;

use crate::error::{Checked, Error};

/// Zeros (for max-pooling: minus infinity) placed around the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Rows and columns on each side.
    Explicit {
        /// Rows above.
        top: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the left.
        left: usize,
        /// Columns to the right.
        right: usize,
    },
    /// No padding: the window stays inside the input.
    Valid,
    /// As much as gives `ceil(input / stride)` outputs, the odd row or column below and to the
    /// right: TensorFlow's `SAME`, and for stride 1 PyTorch's `padding='same'`.
    Same,
}

impl Padding {
    /// PyTorch's `padding=p`: the same number on all four sides.
    pub const fn all(padding: usize) -> Self {
        Self::Explicit {
            top: padding,
            bottom: padding,
            left: padding,
            right: padding,
        }
    }

    /// PyTorch's `padding=(rows, columns)`.
    pub const fn symmetric(rows: usize, columns: usize) -> Self {
        Self::Explicit {
            top: rows,
            bottom: rows,
            left: columns,
            right: columns,
        }
    }
}

/// A sliding window: kernel extent, stride, padding and dilation, `[rows, columns]` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns of the kernel.
    pub kernel_size: [usize; 2],
    /// Steps between neighbouring outputs; default 1.
    pub stride: [usize; 2],
    /// Padding around the input; default none.
    pub padding: Padding,
    /// Distance between the taps of the kernel; default 1.
    pub dilation: [usize; 2],
    /// Whether a last window that starts inside the input or its padding but reaches beyond it
    /// counts (pooling's `ceil_mode`); default false.
    pub ceil_mode: bool,
}

impl Window {
    /// A window of `kernel_size` with stride 1 and no padding.
    pub const fn new(kernel_size: [usize; 2]) -> Self {
        Self {
            kernel_size,
            stride: [1, 1],
            padding: Padding::Valid,
            dilation: [1, 1],
            ceil_mode: false,
        }
    }

    /// Places the window on an input of `[height, width]`. `op` names the operation in errors.
    ///
    /// # Errors
    /// If a number is zero or the window does not fit into the padded input.
    pub fn place(&self, op: &'static str, input: [usize; 2]) -> Result<Geometry, Error> {
        let rows = self.place_axis(op, 0, input[0])?;
        let columns = self.place_axis(op, 1, input[1])?;
        Ok(Geometry { rows, columns })
    }

    fn place_axis(&self, op: &'static str, index: usize, input: usize) -> Checked<Axis> {
        let kernel = self.kernel_size[index];
        let stride = self.stride[index];
        let dilation = self.dilation[index];
        for (what, value) in [
            ("kernel_size", kernel),
            ("stride", stride),
            ("dilation", dilation),
            ("input size", input),
        ] {
            if value == 0 || value > MAX_EXTENT {
                let expected = format!("1 to {MAX_EXTENT}");
                return Err(Error::Argument {
                    op,
                    what,
                    found: value.to_string(),
                    expected,
                });
            }
        }
        let extent = dilation.saturating_mul(kernel - 1).saturating_add(1);
        let (before, after) = self.padding_along(index, input, extent);
        if before > MAX_EXTENT || after > MAX_EXTENT {
            let expected = format!("at most {MAX_EXTENT}");
            return Err(Error::Argument {
                op,
                what: "padding",
                found: before.max(after).to_string(),
                expected,
            });
        }
        let padded = input + before + after;
        if extent > padded {
            let axis = ["height", "width"][index];
            return Err(Error::WindowTooLarge {
                op,
                axis,
                extent,
                input,
                before,
                after,
            });
        }
        let mut output = (padded - extent) / stride + 1;
        if self.ceil_mode {
            output = (padded - extent).div_ceil(stride) + 1;
            if (output - 1) * stride >= input + before {
                output -= 1;
            }
        }
        Ok(Axis {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
            after,
        })
    }

    fn padding_along(&self, index: usize, input: usize, extent: usize) -> (usize, usize) {
        match self.padding {
            Padding::Valid => (0, 0),
            Padding::Explicit {
                top,
                bottom,
                left,
                right,
            } => [(top, bottom), (left, right)][index],
            Padding::Same => {
                let output = input.div_ceil(self.stride[index]);
                let total = ((output - 1) * self.stride[index])
                    .saturating_add(extent)
                    .saturating_sub(input);
                (total / 2, total - total / 2)
            }
        }
    }
}

/// Largest extent along one axis; products of a few such numbers stay far from overflow.
pub(crate) const MAX_EXTENT: usize = 1 << 20;

/// A window placed on an input: everything along both axes is known and valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Along the height.
    pub rows: Axis,
    /// Along the width.
    pub columns: Axis,
}

impl Geometry {
    /// `[rows, columns]` of the output.
    pub fn output(&self) -> [usize; 2] {
        [self.rows.output, self.columns.output]
    }

    /// Whether each output reads exactly the input under it: kernel 1, stride 1, no padding.
    pub(crate) fn is_pointwise(&self) -> bool {
        [self.rows, self.columns]
            .iter()
            .all(|axis| axis.kernel == 1 && axis.stride == 1 && axis.input == axis.output)
    }
}

/// A window along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Input size.
    pub input: usize,
    /// Output size.
    pub output: usize,
    /// Taps.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Dilation.
    pub dilation: usize,
    /// Padding before the input.
    pub before: usize,
    /// Padding after the input.
    pub after: usize,
}

impl Axis {
    /// The input position that `tap` reads for output `position`, or `None` inside the padding.
    #[inline]
    pub(crate) fn source(&self, position: usize, tap: usize) -> Option<usize> {
        (position * self.stride + tap * self.dilation)
            .checked_sub(self.before)
            .filter(|&source| source < self.input)
    }

    /// The taps that read the input, not the padding, for output `position`.
    #[inline]
    pub(crate) fn taps_inside(&self, position: usize) -> Range<usize> {
        let start = position * self.stride;
        let taps_before = |end: usize| {
            end.saturating_sub(start)
                .div_ceil(self.dilation)
                .min(self.kernel)
        };
        taps_before(self.before)..taps_before(self.before + self.input)
    }

    /// The output position that reads input `position` through `tap`, if there is one.
    #[inline]
    pub(crate) fn target(&self, position: usize, tap: usize) -> Option<usize> {
        let offset = (position + self.before).checked_sub(tap * self.dilation)?;
        (offset.is_multiple_of(self.stride))
            .then_some(offset / self.stride)
            .filter(|&target| target < self.output)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// torch.nn.functional.max_pool2d(torch.zeros(1, 1, h, w), k, s, p, d, ceil_mode).shape and
    /// conv2d likewise.
    #[test]
    fn output_sizes_follow_pytorch() {
        let table = [
            // kernel, stride, padding, dilation, ceil, input, output
            ([3, 3], [2, 2], 1, [1, 1], false, [7, 10], [4, 5]),
            ([3, 3], [2, 2], 1, [1, 1], true, [7, 10], [4, 6]),
            ([2, 2], [2, 2], 0, [1, 1], true, [7, 10], [4, 5]),
            ([3, 2], [2, 3], 1, [2, 1], false, [9, 11], [4, 4]),
            ([3, 3], [3, 3], 1, [1, 1], true, [7, 8], [3, 3]),
            ([7, 7], [2, 2], 3, [1, 1], false, [67, 93], [34, 47]),
            ([1, 7], [1, 1], 3, [1, 1], false, [5, 9], [11, 9]),
        ];
        for (kernel_size, stride, padding, dilation, ceil_mode, input, output) in table {
            let window = Window {
                kernel_size,
                stride,
                padding: Padding::all(padding),
                dilation,
                ceil_mode,
            };
            assert_eq!(
                window.place("test", input).unwrap().output(),
                output,
                "{window:?} on {input:?}"
            );
        }
    }

    #[test]
    fn same_padding_puts_the_odd_row_last() {
        let window = Window {
            stride: [2, 2],
            padding: Padding::Same,
            ..Window::new([3, 3])
        };
        let geometry = window.place("test", [8, 7]).unwrap();
        assert_eq!((geometry.rows.before, geometry.rows.after), (0, 1));
        assert_eq!((geometry.columns.before, geometry.columns.after), (1, 1));
        assert_eq!(geometry.output(), [4, 4]);
    }

    #[test]
    fn source_and_target_are_inverse_and_know_the_padding() {
        let window = Window {
            stride: [3, 2],
            padding: Padding::symmetric(2, 1),
            dilation: [2, 3],
            ..Window::new([3, 2])
        };
        let geometry = window.place("test", [11, 8]).unwrap();
        for axis in [geometry.rows, geometry.columns] {
            for tap in 0..axis.kernel {
                for output in 0..axis.output {
                    assert_eq!(
                        axis.source(output, tap).is_some(),
                        axis.taps_inside(output).contains(&tap)
                    );
                    if let Some(source) = axis.source(output, tap) {
                        assert_eq!(axis.target(source, tap), Some(output));
                    }
                }
                for input in 0..axis.input {
                    if let Some(target) = axis.target(input, tap) {
                        assert_eq!(axis.source(target, tap), Some(input));
                    }
                }
            }
        }
    }

    #[test]
    fn windows_that_cannot_work_are_errors_with_the_numbers() {
        let message = Window::new([3, 5])
            .place("conv2d", [4, 4])
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "conv2d: a window of 5 along the width does not fit into an input of 4 padded by 0 and 0"
        );
        let message = Window {
            stride: [0, 1],
            ..Window::new([1, 1])
        }
        .place("max_pool", [4, 4])
        .unwrap_err()
        .to_string();
        assert_eq!(message, "max_pool: stride is 0, expected 1 to 1048576");
        assert!(
            Window::new([usize::MAX, 1])
                .place("conv2d", [4, 4])
                .is_err()
        );
        assert!(
            Window {
                padding: Padding::all(usize::MAX),
                ..Window::new([1, 1])
            }
            .place("conv2d", [4, 4])
            .is_err()
        );
    }
}
