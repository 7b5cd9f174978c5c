//! The gradient of a convolution's weight in f32: register tiles of (tap, input channel) by output channels, summed over pixels.
//!
//! A task sums some rows of the batch for some panels of output channels; the partial sums of the tasks are added in order. How many there are
//! depends on the shape alone.
#![allow(unsafe_code)]

use std::ops::Range;

use rayon::prelude::*;

use crate::conv2d::Convolution;
use crate::conv2d_direct::{equal_parts, segments};
use crate::conv2d_plan::Plan;
use crate::isa::InstructionSet;
use crate::microkernel::{Correlate, Gather, MAX_VECTORS, Microkernels, Run};
use crate::packed_weights::Panel;
use crate::scratch::Scratch;
use crate::shared::{Shared, filled};
use crate::strip::{Layout, Strip};

/// Floats of the input that are copied at a time: they should stay in a core's second-level cache.
const STRIP: usize = 96 << 10;
/// Floats of the gradient that one tile after the other reads: they should stay in the first-level cache.
const GRADS: usize = 8 << 10;
/// Multiply-adds that are worth a task of their own, and tasks that are enough for any machine.
const TASK_WORK: usize = 1 << 19;
const TASKS: usize = 24;
/// Floats of all partial sums together.
const PARTIALS: usize = 2 << 20;
/// Input channels whose gradients are put into PyTorch's order at a time.
const BLOCK: usize = 16;
/// Lanes of the widest panel of any instruction set.
const WIDEST: usize = 16 * MAX_VECTORS;

/// The gradient in PyTorch's order.
pub(crate) fn grad_weight(set: InstructionSet, conv: &Convolution, xs: &[f32], grad: &[f32]) -> Vec<f32> {
    let kernels = Microkernels::of(set);
    let plan = Plan::forward(conv);
    let layout = Layout::of(&plan);
    let panels = Panel::split(conv.groups, conv.group_out(), kernels.lanes);
    let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
    let values = Values::new(&plan, &layout);
    let floats = values.offsets.len() * vectors * kernels.lanes;
    let rows = plan.batch * plan.rows.count();
    let multiply_adds = rows * plan.columns.count() * values.offsets.len() * conv.c_out;
    let wanted = (multiply_adds / TASK_WORK).clamp(1, TASKS);
    let splits = (PARTIALS / floats).clamp(1, wanted).min(rows.max(1));
    let panels_per_task = panels.len().div_ceil(wanted.div_ceil(splits).min(panels.len()));
    let mut partials = Scratch::take(splits * floats);
    let sums = Shared::new(partials.as_mut_ptr());
    let work = Work { kernels, conv, plan: &plan, layout, values: &values, xs, grad, sums };
    let parts: Vec<Range<usize>> = (0..splits).map(|part| part * rows / splits..(part + 1) * rows / splits).collect();
    let tasks: Vec<_> = parts
        .iter()
        .enumerate()
        .flat_map(|(part, rows)| {
            panels.chunks(panels_per_task).map(move |panels| (part * floats, rows.clone(), panels))
        })
        .collect();
    tasks.into_par_iter().for_each(|(start, rows, panels)| work.run(start, rows, panels));
    // SAFETY: every panel puts its channels' values in place, and the tasks have filled every partial sum.
    unsafe {
        filled(conv.c_out * values.offsets.len(), |target| {
            let blocks = conv.group_in().div_ceil(BLOCK);
            (0..panels.len() * blocks).into_par_iter().for_each(|index| {
                let first = index % blocks * BLOCK;
                let channels = first..conv.group_in().min(first + BLOCK);
                work.add_and_unpack(&panels[index / blocks], channels, splits, floats, target);
            });
        })
    }
}

/// The input values under one output pixel, in the order (row tap, column tap, channel).
struct Values {
    /// Where each lies, relative to the start of the pixel's window.
    offsets: Vec<usize>,
    /// Runs of neighbours.
    runs: Vec<Range<usize>>,
}

impl Values {
    fn new(plan: &Plan, layout: &Layout) -> Self {
        let (mut offsets, mut runs) = (Vec::new(), Vec::new());
        for segment in segments(plan, layout, &plan.rows.phases[0], &plan.columns.phases[0]) {
            runs.push(offsets.len()..offsets.len() + segment.len);
            offsets.extend(segment.offset..segment.offset + segment.len);
        }
        Self { offsets, runs }
    }

    /// Tiles of at most `most` values: neighbours, or values from here and there where runs are short.
    fn tiles(&self, most: usize) -> Vec<Range<usize>> {
        if self.runs.iter().any(|run| run.len() * 2 < most) {
            return equal_parts(self.offsets.len(), most).collect();
        }
        let of_run = |run: &Range<usize>| {
            let start = run.start;
            equal_parts(run.len(), most).map(move |part| start + part.start..start + part.end)
        };
        self.runs.iter().flat_map(of_run).collect()
    }
}

/// All that the tasks of one call share.
struct Work<'a> {
    kernels: &'static Microkernels,
    conv: &'a Convolution,
    plan: &'a Plan,
    layout: Layout,
    values: &'a Values,
    xs: &'a [f32],
    grad: &'a [f32],
    /// `[part][panel][value][lane]`
    sums: Shared,
}

impl Work<'_> {
    /// Sums over `rows` for some panels; the part's sums begin at `start`.
    fn run(&self, start: usize, rows: Range<usize>, panels: &[Panel]) {
        let row_floats = self.plan.rows.step * self.layout.row;
        let strip_rows = (STRIP / row_floats.max(1)).clamp(1, rows.len().max(1));
        let mut gathered = Scratch::take(GRADS.max(self.plan.columns.count() * WIDEST));
        for first in rows.clone().step_by(strip_rows) {
            let block = first..rows.end.min(first + strip_rows);
            let strip = Strip::new(self.plan, &self.layout, self.xs, block.clone());
            for panel in panels {
                let width = panel.vectors * self.kernels.lanes;
                let at_a_time = (GRADS / (width * self.plan.columns.count())).max(1);
                for row in block.clone().step_by(at_a_time) {
                    let part = row..block.end.min(row + at_a_time);
                    self.gather(part.clone(), panel, gathered.as_mut_ptr());
                    self.add_rows(start, part, &strip, block.start, panel, gathered.as_mut_ptr(), row > rows.start);
                }
            }
        }
        if rows.is_empty() {
            let depth = self.values.offsets.len() * self.kernels.lanes;
            for panel in panels {
                // SAFETY: the sums of this part and panel are this task's.
                unsafe { self.sums.at(start + panel.vectors_before * depth).write_bytes(0, panel.vectors * depth) };
            }
        }
    }

    /// The panel's gradients of some output rows, one pixel after the other.
    fn gather(&self, rows: Range<usize>, panel: &Panel, to: *mut f32) {
        let (columns, c_out) = (self.plan.columns.count(), self.conv.c_out);
        let channel = panel.group * self.conv.group_out() + panel.first;
        let from = self.grad[rows.start * columns * c_out + channel..].as_ptr();
        // SAFETY: the rows lie in the gradient; `to` holds as many pixels of whole registers.
        unsafe {
            let (pixels, channels) = (rows.len() * columns, panel.channels);
            self.kernels.gather(&Gather { from, step: c_out, pixels, channels, to });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the loop's body, split off")]
    fn add_rows(
        &self,
        start: usize,
        rows: Range<usize>,
        strip: &Strip,
        strip_first: usize,
        panel: &Panel,
        grads: *const f32,
        accumulate: bool,
    ) {
        let (width, depth) = (panel.vectors * self.kernels.lanes, self.values.offsets.len());
        let pixels = self.plan.columns.count();
        let runs: Vec<Run> = rows.map(|row| Run { start: strip.row_start(row - strip_first), pixels }).collect();
        let sums = start + panel.vectors_before * self.kernels.lanes * depth;
        for tile in self.values.tiles(self.kernels.rows(panel.vectors)) {
            // SAFETY: the strip holds all that these values of these pixels reach; the sums of this part and panel are this task's.
            unsafe {
                self.kernels.correlate(
                    panel.vectors,
                    &Correlate {
                        a: strip.start().add(panel.group * self.conv.group_in()),
                        a_step: self.plan.columns.step * self.layout.pixel,
                        runs: &runs,
                        values: &self.values.offsets[tile.clone()],
                        b: grads,
                        b_step: width,
                        c: self.sums.at(sums + tile.start * width),
                        accumulate,
                    },
                );
            }
        }
    }

    /// Adds the parts in order and puts the sums of some input channels into PyTorch's order.
    ///
    /// # Safety
    /// `target` holds the whole gradient, and no other thread writes these channels of this panel.
    unsafe fn add_and_unpack(
        &self,
        panel: &Panel,
        channels: Range<usize>,
        parts: usize,
        floats: usize,
        target: Shared,
    ) {
        let (lanes, taps, depth) = (self.kernels.lanes, self.conv.taps(), self.values.offsets.len());
        let width = panel.vectors * lanes;
        let first = panel.group * self.conv.group_out() + panel.first;
        for tap in 0..taps {
            for channel in channels.clone() {
                let row = panel.vectors_before * lanes * depth + (tap * self.conv.group_in() + channel) * width;
                let mut sums = [0f32; WIDEST];
                for part in 0..parts {
                    // SAFETY: each part holds every panel's rows of `width` floats.
                    let partial = unsafe { std::slice::from_raw_parts(self.sums.at(part * floats + row), width) };
                    sums.iter_mut().zip(partial).for_each(|(sum, &value)| *sum += value);
                }
                for (lane, &sum) in sums[..panel.channels].iter().enumerate() {
                    // SAFETY: the caller's promise.
                    unsafe { target.at((first + lane) * depth + channel * taps + tap).write(sum) };
                }
            }
        }
    }
}
