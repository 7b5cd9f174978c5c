//! A convolution, or the gradient of its input, as one gather: which taps each output pixel reads,
//! and at what distance.
//!
//! The forward pass reads, for output `t`, input `t · stride + shift` through each tap. The
//! gradient of the input is the same sum over the output's gradients with step 1, but which taps
//! take part depends on the position modulo the stride: it is one [`StridePhase`] per remainder.

use std::ops::Range;

use crate::conv2d::Convolution;
use crate::geometry::Axis;

/// What is read and written along one axis.
#[derive(Debug, Clone)]
pub(crate) struct AxisPlan {
    /// Size of what is read.
    pub(crate) source: usize,
    /// Size of what is written.
    pub(crate) target: usize,
    /// Distance between the places that neighbouring outputs of a phase read.
    pub(crate) step: usize,
    pub(crate) phases: Vec<StridePhase>,
}

/// The outputs along one axis that read through the same taps.
#[derive(Debug, Clone)]
pub(crate) struct StridePhase {
    /// The outputs are `first`, `first + stride`, …
    pub(crate) first: usize,
    pub(crate) stride: usize,
    pub(crate) count: usize,
    /// Ascending shifts.
    pub(crate) taps: Vec<Tap>,
}

/// Output `t` of a phase reads the source at `t · step + shift` with this index of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    pub(crate) shift: isize,
    pub(crate) index: usize,
}

impl AxisPlan {
    /// The forward pass: one phase.
    pub(crate) fn forward(axis: &Axis) -> Self {
        let shift = |index: usize| (index * axis.dilation) as isize - axis.before as isize;
        let taps = (0..axis.kernel)
            .map(|index| Tap {
                shift: shift(index),
                index,
            })
            .collect();
        let phase = StridePhase {
            first: 0,
            stride: 1,
            count: axis.output,
            taps,
        };
        Self {
            source: axis.input,
            target: axis.output,
            step: axis.stride,
            phases: vec![phase],
        }
    }

    /// The gradient of the input: one phase per remainder of the position by the stride.
    pub(crate) fn backward(axis: &Axis) -> Self {
        let stride = axis.stride as isize;
        let phase = |first: usize| {
            let distance =
                |index: usize| (first + axis.before) as isize - (index * axis.dilation) as isize;
            let indices = (0..axis.kernel)
                .rev()
                .filter(|&index| distance(index) % stride == 0);
            let taps = indices
                .map(|index| Tap {
                    shift: distance(index) / stride,
                    index,
                })
                .collect();
            StridePhase {
                first,
                stride: axis.stride,
                count: (axis.input - first).div_ceil(axis.stride),
                taps,
            }
        };
        let phases = (0..axis.stride.min(axis.input)).map(phase).collect();
        Self {
            source: axis.output,
            target: axis.input,
            step: 1,
            phases,
        }
    }

    /// Outputs of the longest phase.
    pub(crate) fn count(&self) -> usize {
        self.phases
            .iter()
            .map(|phase| phase.count)
            .max()
            .unwrap_or(0)
    }

    /// Places that outputs `positions` of any phase read, some of them perhaps outside the source.
    pub(crate) fn window(&self, positions: Range<usize>) -> Range<isize> {
        let shifts = || {
            self.phases
                .iter()
                .flat_map(|phase| &phase.taps)
                .map(|tap| tap.shift)
        };
        let (Some(low), Some(high)) = (shifts().min(), shifts().max()) else {
            return 0..0;
        };
        let at = |position: usize| (position * self.step) as isize;
        at(positions.start) + low..at(positions.end.max(1) - 1) + high + 1
    }

    /// Whether no output reads outside the source.
    fn stays_inside(&self) -> bool {
        let window = self.window(0..self.count());
        window.start >= 0 && window.end <= self.source as isize
    }
}

/// Both axes, and the channels on both sides.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) batch: usize,
    pub(crate) rows: AxisPlan,
    pub(crate) columns: AxisPlan,
    pub(crate) groups: usize,
    /// Channels read and written, of all groups.
    pub(crate) c_source: usize,
    pub(crate) c_target: usize,
    /// How packed weights lie in PyTorch's order: elements between neighbouring source channels and
    /// target channels.
    pub(crate) source_stride: usize,
    pub(crate) target_stride: usize,
    /// Elements between neighbouring groups, and between rows of the kernel.
    pub(crate) group_stride: usize,
    pub(crate) kernel_columns: usize,
    /// Of the whole kernel.
    pub(crate) taps: usize,
}

impl Plan {
    /// `ys` from `xs`.
    pub(crate) fn forward(conv: &Convolution) -> Self {
        Self {
            batch: conv.batch,
            rows: AxisPlan::forward(&conv.geometry.rows),
            columns: AxisPlan::forward(&conv.geometry.columns),
            groups: conv.groups,
            c_source: conv.c_in,
            c_target: conv.c_out,
            source_stride: conv.taps(),
            target_stride: conv.group_in() * conv.taps(),
            group_stride: conv.group_out() * conv.group_in() * conv.taps(),
            kernel_columns: conv.geometry.columns.kernel,
            taps: conv.taps(),
        }
    }

    /// `grad_xs` from the gradient of `ys`.
    pub(crate) fn backward(conv: &Convolution) -> Self {
        Self {
            rows: AxisPlan::backward(&conv.geometry.rows),
            columns: AxisPlan::backward(&conv.geometry.columns),
            c_source: conv.c_out,
            c_target: conv.c_in,
            source_stride: conv.group_in() * conv.taps(),
            target_stride: conv.taps(),
            ..Self::forward(conv)
        }
    }

    /// Channels of one group that are read.
    pub(crate) fn group_source(&self) -> usize {
        self.c_source / self.groups
    }

    /// Channels of one group that are written.
    pub(crate) fn group_target(&self) -> usize {
        self.c_target / self.groups
    }

    /// Whether neighbouring outputs read neighbouring pixels, each its own.
    pub(crate) fn is_pointwise(&self) -> bool {
        let axes = [&self.rows, &self.columns];
        axes.iter()
            .all(|axis| axis.source == axis.target && axis.step == 1 && axis.window(0..1) == (0..1))
    }

    /// Image and place of each of some output rows, which are counted over the whole batch.
    pub(crate) fn places(
        &self,
        rows: Range<usize>,
    ) -> impl Iterator<Item = (usize, usize)> + use<> {
        let per_image = self.rows.count().max(1);
        let mut image = rows.start / per_image;
        let mut t = rows.start % per_image;
        rows.map(move |_| {
            let place = (image, t);
            t += 1;
            if t == per_image {
                t = 0;
                image += 1;
            }
            place
        })
    }

    /// A [pointwise](Self::is_pointwise) plan with every pixel of the batch as a row, so that work
    /// can be cut anywhere.
    pub(crate) fn flattened(&self) -> Self {
        let axis = |axis: &AxisPlan, pixels: usize| AxisPlan {
            source: pixels,
            target: pixels,
            step: 1,
            phases: axis
                .phases
                .iter()
                .map(|phase| StridePhase {
                    // An axis of one output has no distance to the next one, whatever its stride.
                    stride: 1,
                    count: pixels,
                    ..phase.clone()
                })
                .collect(),
        };
        let pixels = self.batch * self.rows.target * self.columns.target;
        Self {
            batch: 1,
            rows: axis(&self.rows, pixels),
            columns: axis(&self.columns, 1),
            ..self.clone()
        }
    }

    /// Whether no pixel reads padding.
    pub(crate) fn stays_inside(&self) -> bool {
        self.rows.stays_inside() && self.columns.stays_inside()
    }
}
