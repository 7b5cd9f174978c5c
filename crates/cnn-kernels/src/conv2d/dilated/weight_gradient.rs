//! The gradient of the weight of a dilated convolution: one tap after the other, each over the
//! outputs that find it inside the input.
#![allow(unsafe_code)]

use std::ops::Range;

use super::source::Source;
use crate::conv2d::Convolution;
use crate::conv2d::direct::{equal_parts, part};
use crate::conv2d::microkernel::{Correlate, Gather, MAX_VECTORS, Microkernels, PixelRun};
use crate::conv2d::packed_weights::Panel;
use crate::conv2d::plan::{AxisPlan, Plan, Tap};
use crate::conv2d::weight_gradient::{GRADS, PARTIALS, PartialSums, TASK_WORK, TASKS};
use crate::machine::parallel;
use crate::machine::scratch::Scratch;
use crate::machine::shared::Shared;
use crate::machine::simd::MAX_LANES;

/// The gradient in PyTorch's order.
pub(in crate::conv2d) fn grad_weight(conv: &Convolution, xs: &[f32], grad: &[f32]) -> Vec<f32> {
    let kernels = Microkernels::current();
    let plan = Plan::forward(conv);
    let panels = Panel::split(conv.groups, conv.group_out(), kernels.lanes);
    let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
    let taps = conv.taps();
    let depth = taps * conv.group_in();
    let floats = depth * vectors * kernels.lanes;
    let rows = plan.batch * plan.rows.count();
    let multiply_adds = rows * plan.columns.count() * depth * conv.c_out;
    let wanted = (multiply_adds / TASK_WORK).clamp(1, TASKS);
    let parts = wanted
        .div_ceil(taps * panels.len())
        .min((PARTIALS / floats).max(1))
        .min(rows.max(1));
    let mut buffer = Scratch::take(parts * floats);
    let sums = Shared::new(buffer.as_mut_ptr());
    let work = DilatedGradient {
        kernels,
        conv,
        plan: &plan,
        source: Source::new(&plan, xs),
        grad,
        sums,
    };
    parallel::for_each(parts * panels.len() * taps, |task| {
        let tap = task % taps;
        let panel = &panels[task / taps % panels.len()];
        let number = task / taps / panels.len();
        work.run(number * floats, part(rows, parts, number), panel, tap);
    });
    let all = PartialSums {
        kernels,
        conv,
        panels: &panels,
        start: sums,
        parts,
        part: floats,
    };
    // SAFETY: the tasks have filled the sums of every part, panel and tap.
    unsafe { all.added() }
}

/// The outputs along an axis that find a tap inside the input.
fn inside(axis: &AxisPlan, tap: &Tap) -> Range<usize> {
    let count = axis.count();
    let reached = |end: isize| {
        let distance = (end - tap.shift).max(0) as usize;
        distance.div_ceil(axis.step).min(count)
    };
    reached(0)..reached(axis.source as isize)
}

/// All that the tasks of one call share.
struct DilatedGradient<'a> {
    kernels: &'static Microkernels,
    conv: &'a Convolution,
    plan: &'a Plan,
    source: Source<'a>,
    grad: &'a [f32],
    /// `[part][panel][tap][channel][lane]`
    sums: Shared,
}

impl DilatedGradient<'_> {
    /// Sums over the outputs in `rows` for one panel and tap; the part's sums begin at `start`.
    fn run(&self, start: usize, rows: Range<usize>, panel: &Panel, tap: usize) {
        let plan = self.plan;
        let group_in = self.conv.group_in();
        let width = panel.vectors * self.kernels.lanes;
        let depth = self.conv.taps() * group_in;
        let before = panel.vectors_before * self.kernels.lanes * depth;
        let sums = start + before + tap * group_in * width;
        let row_tap = &plan.rows.phases[0].taps[tap / plan.kernel_columns];
        let column_tap = &plan.columns.phases[0].taps[tap % plan.kernel_columns];
        let columns = inside(&plan.columns, column_tap);
        let lines = inside(&plan.rows, row_tap);
        let places: Vec<(usize, usize)> = plan
            .places(rows)
            .filter(|(_, t)| lines.contains(t) && !columns.is_empty())
            .collect();
        if places.is_empty() {
            // SAFETY: the sums of this part, panel and tap are this task's.
            unsafe { self.sums.at(sums).write_bytes(0, width * group_in) };
        }
        let at_a_time = (GRADS / (width * columns.len()).max(1)).max(1);
        let widest = MAX_LANES * MAX_VECTORS;
        let mut grads = Scratch::take(GRADS.max(columns.len() * widest));
        let grads = grads.as_mut_ptr();
        for (number, places) in places.chunks(at_a_time).enumerate() {
            let mut runs = Vec::with_capacity(places.len());
            for (index, &(image, t)) in places.iter().enumerate() {
                let row = (t * plan.rows.step) as isize + row_tap.shift;
                let column = (columns.start * plan.columns.step) as isize + column_tap.shift;
                runs.push(PixelRun {
                    start: self.source.place(image, row as usize, column as usize),
                    pixels: columns.len(),
                });
                let line = (image * plan.rows.count() + t) * plan.columns.count();
                // SAFETY: there is room for the pixels of all rows that are taken at a time.
                let to = unsafe { grads.add(index * columns.len() * width) };
                self.gather(line + columns.start, columns.len(), panel, to);
            }
            self.add(sums, panel, &runs, grads, number > 0);
        }
    }

    /// The panel's gradients of some neighbouring pixels.
    fn gather(&self, pixel: usize, pixels: usize, panel: &Panel, to: *mut f32) {
        let c_out = self.conv.c_out;
        let channel = panel.group * self.conv.group_out() + panel.first;
        // SAFETY: the pixels lie in the gradient; `to` holds as many of whole registers.
        unsafe {
            self.kernels.gather(&Gather {
                from: self.grad[pixel * c_out + channel..].as_ptr(),
                step: c_out,
                pixels,
                channels: panel.channels,
                to,
            });
        }
    }

    /// Adds the products of some rows to the sums of a tap.
    fn add(
        &self,
        sums: usize,
        panel: &Panel,
        runs: &[PixelRun],
        grads: *const f32,
        accumulate: bool,
    ) {
        let width = panel.vectors * self.kernels.lanes;
        let group_in = self.conv.group_in();
        let channels: Vec<usize> = (0..group_in).collect();
        for tile in equal_parts(group_in, self.kernels.rows(panel.vectors)) {
            // SAFETY: the tap's pixels lie inside the source; the sums of this part, panel and tap
            // are this task's.
            unsafe {
                self.kernels.correlate(
                    panel.vectors,
                    &Correlate {
                        a: self.source.start().add(panel.group * group_in),
                        a_step: self.plan.columns.step * self.source.pixel,
                        runs,
                        values: &channels[tile.clone()],
                        b: grads,
                        b_step: width,
                        c: self.sums.at(sums + tile.start * width),
                        accumulate,
                        ahead: std::ptr::null(),
                    },
                );
            }
        }
    }
}
