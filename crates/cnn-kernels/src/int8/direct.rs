//! Convolution of bytes as a product of matrices: register tiles of pixels by output channels.
//!
//! A task computes a block of outputs for some panels of channels.
#![allow(unsafe_code)]

use crate::conv2d::Convolution;
use crate::conv2d::direct::{equal_parts, part};
use crate::conv2d::packed_weights::Panel;
use crate::int8::depthwise::Source;
use crate::int8::layout::{Division, Layout, Place};
use crate::int8::microkernel::{Multiply, Output, Segment};
use crate::int8::packed::{PackedWeights, QUAD, Reading};
use crate::int8::windows::Windows;
use crate::machine::parallel;

/// Everything that the tasks of one call share.
pub(crate) struct DirectConvolution<'a> {
    pub(crate) conv: &'a Convolution,
    pub(crate) source: Source<'a>,
    pub(crate) weights: &'a PackedWeights,
    /// One per channel and a register more.
    pub(crate) bias: &'a [i32],
    pub(crate) factors: &'a [f32],
}

impl DirectConvolution<'_> {
    /// Computes all outputs.
    ///
    /// # Safety
    /// The output has room for the convolution's, and nobody else uses it meanwhile.
    pub(crate) unsafe fn run(&self, output: &Output) {
        let conv = self.conv;
        let layout = Layout::of(conv);
        let segments = self.segments(&layout);
        let panels = &self.weights.panels;
        let units = conv.batch * conv.output_pixels() / layout.unit;
        if units == 0 {
            return;
        }
        let Division { blocks, divisions } = Division::of(conv, &layout, units, panels.len());
        parallel::for_each(blocks * divisions, |task| {
            let units = part(units, blocks, task / divisions);
            let pixels = units.start * layout.unit..units.end * layout.unit;
            let panels = &panels[part(panels.len(), divisions, task % divisions)];
            let block = Windows::of(conv, &layout, self.source, pixels.clone());
            for panel in panels {
                // SAFETY: these pixels and channels of the output belong to this task.
                unsafe { self.run_panel(panel, &block, &segments, pixels.start, output) };
            }
        });
    }

    /// What each window reads, relative to its start.
    fn segments(&self, layout: &Layout) -> Vec<Segment> {
        let rows = self.conv.geometry.rows;
        let columns = self.conv.geometry.columns;
        let group = self.conv.group_in().next_multiple_of(QUAD);
        let (row, column) = match layout.place {
            Place::Patches => (columns.kernel * layout.pixel, layout.pixel),
            _ => (rows.dilation * layout.row, columns.dilation * layout.pixel),
        };
        let mut segments: Vec<Segment> = Vec::new();
        for i in 0..rows.kernel {
            if Reading::of(self.conv) == Reading::Rows {
                segments.push(Segment {
                    offset: i * row,
                    quads: (columns.kernel * column).div_ceil(QUAD),
                });
                continue;
            }
            for j in 0..columns.kernel {
                let offset = i * row + j * column;
                match segments.last_mut() {
                    Some(last) if last.offset + last.quads * QUAD == offset => {
                        last.quads += group / QUAD;
                    }
                    _ => segments.push(Segment {
                        offset,
                        quads: group / QUAD,
                    }),
                }
            }
        }
        segments
    }

    /// # Safety
    /// As [`DirectConvolution::run`], for the block's pixels, from `first` on, and the panel's
    /// channels.
    unsafe fn run_panel(
        &self,
        panel: &Panel,
        block: &Windows,
        segments: &[Segment],
        first: usize,
        output: &Output,
    ) {
        let conv = self.conv;
        let kernels = self.weights.kernels;
        let channel = panel.group * conv.group_out() + panel.first;
        let group = panel.group * conv.group_in().next_multiple_of(QUAD);
        let weights = self.weights.panel(panel);
        for tile in equal_parts(block.places.len(), kernels.rows(panel.vectors)) {
            // SAFETY: the block holds all that the segments of these windows reach, bias and
            // factors are a register longer than the channels; the rest is the caller's promise.
            unsafe {
                kernels.multiply(&Multiply {
                    a: block.start.add(group),
                    pixels: &block.places[tile.clone()],
                    segments,
                    b: weights.as_ptr(),
                    bias: self.bias[channel..].as_ptr(),
                    factors: self.factors[channel..].as_ptr(),
                    output: output.from((first + tile.start) * conv.c_out + channel),
                    step: conv.c_out,
                    channels: panel.channels,
                });
            }
        }
    }
}
