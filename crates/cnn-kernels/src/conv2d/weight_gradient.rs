//! The gradient of a convolution's weight in f32: register tiles of (tap, input channel) by output
//! channels, summed over pixels; of 3×3 convolutions by the detour of `winograd`.
//!
//! A task sums some rows of the batch for some panels of output channels; the partial sums of the
//! tasks are added in order. How many there are depends on the shape alone.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::conv2d::direct::{equal_parts, segments};
use crate::conv2d::joined::SourcePart;
use crate::conv2d::microkernel::{Correlate, Gather, MAX_VECTORS, Microkernels, PixelRun, Unpack};
use crate::conv2d::packed_weights::Panel;
use crate::conv2d::plan::Plan;
use crate::conv2d::strip::{Layout, Strip};
use crate::conv2d::{Convolution, dilated, winograd};
use crate::machine::parallel;
use crate::machine::scratch::Scratch;
use crate::machine::shared::{Shared, filled};
use crate::machine::simd::MAX_LANES;

/// Floats of the input that are copied at a time: they should stay in a core's second-level cache.
const STRIP: usize = 96 << 10;
/// Floats of the gradient that one tile after the other reads: they should stay in the first-level
/// cache.
pub(super) const GRADS: usize = 8 << 10;
/// Multiply-adds that are worth a task of their own, and tasks that are enough for any machine.
pub(super) const TASK_WORK: usize = 1 << 19;
pub(super) const TASKS: usize = 16;
/// Floats of all partial sums together.
pub(super) const PARTIALS: usize = 2 << 20;
/// Input channels whose gradients are put into PyTorch's order at a time.
const BLOCK: usize = 16;
/// Lanes of the widest panel of any instruction set.
const WIDEST: usize = MAX_LANES * MAX_VECTORS;

/// The gradient in PyTorch's order.
pub(crate) fn grad_weight(conv: &Convolution, xs: &[f32], grad: &[f32]) -> Vec<f32> {
    let plan = Plan::forward(conv);
    if dilated::suits(&plan) {
        return dilated::grad_weight(conv, xs, grad);
    }
    if winograd::suits_gradient(&plan) {
        return winograd::grad_weight(conv, &plan, xs, grad);
    }
    direct(conv, &plan, xs, grad)
}

/// The sums tap by tap.
pub(super) fn direct(conv: &Convolution, plan: &Plan, xs: &[f32], grad: &[f32]) -> Vec<f32> {
    let kernels = Microkernels::current();
    let layout = Layout::of(plan);
    let panels = Panel::split(conv.groups, conv.group_out(), kernels.lanes);
    let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
    let values = Values::new(plan, &layout);
    let floats = values.offsets.len() * vectors * kernels.lanes;
    let rows = plan.batch * plan.rows.count();
    let multiply_adds = rows * plan.columns.count() * values.offsets.len() * conv.c_out;
    let wanted = (multiply_adds / TASK_WORK).clamp(1, TASKS);
    let splits = splits(wanted.min(rows.max(1)), panels.len(), floats, xs.len());
    let panels_per_task = panels
        .len()
        .div_ceil(wanted.div_ceil(splits).min(panels.len()));
    let mut partials = Scratch::take(splits * floats);
    let sums = Shared::new(partials.as_mut_ptr());
    let tiles = std::array::from_fn(|vectors| values.tiles(kernels.rows(vectors + 1)));
    let work = WeightGradient {
        kernels,
        conv,
        plan,
        layout,
        values: &values,
        tiles,
        xs,
        grad,
        sums,
    };
    let parts: Vec<Range<usize>> = (0..splits)
        .map(|part| part * rows / splits..(part + 1) * rows / splits)
        .collect();
    let tasks: Vec<_> = parts
        .iter()
        .enumerate()
        .flat_map(|(part, rows)| {
            panels
                .chunks(panels_per_task)
                .map(move |panels| (part * floats, rows.clone(), panels))
        })
        .collect();
    parallel::for_each(tasks.len(), |task| {
        let (start, rows, panels) = &tasks[task];
        work.run(*start, rows.clone(), panels);
    });
    let all = PartialSums {
        kernels,
        conv,
        panels: &panels,
        start: sums,
        parts: splits,
        part: floats,
    };
    // SAFETY: the tasks have filled every partial sum.
    unsafe { all.added() }
}

/// Into how many parts the rows are divided: as many as leave enough tasks, and beyond that those
/// that move the fewest floats. Each part's sums are written, read and made room for; each group of
/// panels reads the whole input.
fn splits(wanted: usize, panels: usize, floats: usize, input: usize) -> usize {
    let most = (PARTIALS / floats).clamp(1, wanted);
    let least = wanted.div_ceil(panels.max(1)).min(most);
    let moved = |splits: usize| 3 * splits * floats + wanted.div_ceil(splits).min(panels) * input;
    (least..=most)
        .min_by_key(|&splits| moved(splits))
        .unwrap_or(1)
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
        let mut offsets = Vec::new();
        let mut runs = Vec::new();
        for segment in segments(plan, layout, &plan.rows.phases[0], &plan.columns.phases[0]) {
            runs.push(offsets.len()..offsets.len() + segment.len);
            offsets.extend(segment.offset..segment.offset + segment.len);
        }
        Self { offsets, runs }
    }

    /// Tiles of at most `most` values: neighbours, or values from here and there where runs are
    /// short.
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
struct WeightGradient<'a> {
    kernels: &'static Microkernels,
    conv: &'a Convolution,
    plan: &'a Plan,
    layout: Layout,
    values: &'a Values,
    /// The values in tiles, for panels of one register, two, …
    tiles: [Vec<Range<usize>>; MAX_VECTORS],
    xs: &'a [f32],
    grad: &'a [f32],
    /// `[part][panel][value][lane]`
    sums: Shared,
}

impl WeightGradient<'_> {
    /// Sums over `rows` for some panels; the part's sums begin at `start`.
    fn run(&self, start: usize, rows: Range<usize>, panels: &[Panel]) {
        let columns = self.plan.columns.count();
        let depth = self.values.offsets.len();
        let strip_rows =
            (STRIP / (self.plan.rows.step * self.layout.row).max(1)).clamp(1, rows.len().max(1));
        let mut grads = Scratch::take(GRADS.max(columns * WIDEST));
        let grads = grads.as_mut_ptr();
        for first in rows.clone().step_by(strip_rows) {
            let block = first..rows.end.min(first + strip_rows);
            let xs = [SourcePart::whole(self.plan, self.xs)];
            let strip = Strip::new(self.plan, &self.layout, &xs, block.clone());
            for (index, panel) in panels.iter().enumerate() {
                let sums = start + panel.vectors_before * self.kernels.lanes * depth;
                let at_a_time = (GRADS / (panel.vectors * self.kernels.lanes * columns)).max(1);
                for row in block.clone().step_by(at_a_time) {
                    let part = row..block.end.min(row + at_a_time);
                    self.gather(part.clone(), panel, grads);
                    let run = |row: usize| PixelRun {
                        start: strip.row_start(row - block.start),
                        pixels: columns,
                    };
                    let runs: Vec<PixelRun> = part.clone().map(run).collect();
                    // What comes next in memory has not been read before unless another panel did.
                    let new = index == 0 && !self.layout.copied && self.plan.is_pointwise();
                    let next = strip
                        .start()
                        .wrapping_add(runs[0].start + part.len() * self.layout.row);
                    let ahead = if new { next } else { std::ptr::null() };
                    self.add_rows(
                        sums,
                        panel,
                        strip.start(),
                        &runs,
                        grads,
                        row > rows.start,
                        ahead,
                    );
                }
            }
        }
        if rows.is_empty() {
            for panel in panels {
                let start = start + panel.vectors_before * self.kernels.lanes * depth;
                let width = panel.vectors * self.kernels.lanes;
                // SAFETY: the sums of this part and panel are this task's.
                unsafe { self.sums.at(start).write_bytes(0, width * depth) };
            }
        }
    }

    /// The panel's gradients of some output rows, one pixel after the other.
    fn gather(&self, rows: Range<usize>, panel: &Panel, to: *mut f32) {
        let columns = self.plan.columns.count();
        let c_out = self.conv.c_out;
        let channel = panel.group * self.conv.group_out() + panel.first;
        let from = self.grad[rows.start * columns * c_out + channel..].as_ptr();
        // SAFETY: the rows lie in the gradient; `to` holds as many pixels of whole registers.
        unsafe {
            let pixels = rows.len() * columns;
            let channels = panel.channels;
            self.kernels.gather(&Gather {
                from,
                step: c_out,
                pixels,
                channels,
                to,
            });
        }
    }

    /// Adds some rows, whose input begins at `xs` and whose gradients at `grads`, to a panel's
    /// sums.
    #[expect(clippy::too_many_arguments, reason = "the body of a loop, split off")]
    fn add_rows(
        &self,
        sums: usize,
        panel: &Panel,
        xs: *const f32,
        runs: &[PixelRun],
        grads: *const f32,
        accumulate: bool,
        ahead: *const f32,
    ) {
        let width = panel.vectors * self.kernels.lanes;
        let pixels = runs.len() * self.plan.columns.count();
        for (index, tile) in self.tiles[panel.vectors - 1].iter().enumerate() {
            // SAFETY: the strip holds all that these values of these pixels reach; the sums of this
            // part and panel are this task's.
            unsafe {
                self.kernels.correlate(
                    panel.vectors,
                    &Correlate {
                        a: xs.add(panel.group * self.conv.group_in()),
                        a_step: self.plan.columns.step * self.layout.pixel,
                        runs,
                        values: &self.values.offsets[tile.clone()],
                        b: grads,
                        b_step: width,
                        c: self.sums.at(sums + tile.start * width),
                        accumulate,
                        ahead: if ahead.is_null() {
                            ahead
                        } else {
                            ahead.wrapping_add(index * pixels * MAX_LANES)
                        },
                    },
                );
            }
        }
    }
}

/// Sums of `parts` parts, `part` floats apart: `[panel][tap][input channel][lane]` each.
pub(super) struct PartialSums<'a> {
    pub(super) kernels: &'static Microkernels,
    pub(super) conv: &'a Convolution,
    pub(super) panels: &'a [Panel],
    pub(super) start: Shared,
    pub(super) parts: usize,
    pub(super) part: usize,
}

impl PartialSums<'_> {
    /// The parts added in order, in PyTorch's order of weights.
    ///
    /// # Safety
    /// Every part is filled.
    pub(super) unsafe fn added(&self) -> Vec<f32> {
        let depth = self.conv.taps() * self.conv.group_in();
        let blocks = self.conv.group_in().div_ceil(BLOCK);
        // SAFETY: every panel puts its channels' values in place.
        unsafe {
            filled(self.conv.c_out * depth, |target| {
                parallel::for_each(self.panels.len() * blocks, |index| {
                    let first = index % blocks * BLOCK;
                    let channels = first..self.conv.group_in().min(first + BLOCK);
                    self.add_and_unpack(&self.panels[index / blocks], channels, target);
                });
            })
        }
    }

    /// Adds the parts in order and puts the sums of some input channels into PyTorch's order.
    ///
    /// # Safety
    /// `target` holds the whole gradient, and no other thread writes these channels of this panel.
    unsafe fn add_and_unpack(&self, panel: &Panel, channels: Range<usize>, target: Shared) {
        let lanes = self.kernels.lanes;
        let taps = self.conv.taps();
        let group_in = self.conv.group_in();
        let depth = taps * group_in;
        let width = panel.vectors * lanes;
        let first = panel.group * self.conv.group_out() + panel.first;
        let columns: Vec<usize> = channels
            .clone()
            .flat_map(|channel| (0..taps).map(move |tap| (tap * group_in + channel) * width))
            .collect();
        for lane in (0..panel.channels).step_by(lanes) {
            // SAFETY: each part holds every panel's rows; the rest is the caller's promise.
            unsafe {
                self.kernels.unpack(&Unpack {
                    from: self.start.at(panel.vectors_before * lanes * depth + lane),
                    parts: self.parts,
                    part: self.part,
                    columns: &columns,
                    to: target.at((first + lane) * depth + channels.start * taps),
                    step: depth,
                    rows: panel.channels - lane,
                });
            }
        }
    }
}
