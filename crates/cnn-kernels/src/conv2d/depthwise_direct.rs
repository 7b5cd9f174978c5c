//! Depthwise convolution and both its gradients in f32: sums stay in registers over all taps,
//! straight from the channels-last input.
//!
//! Windows of at most three neighbouring columns have [tiles](crate::conv2d_depthwise_tiles) of
//! their own; this is for all others. Pixels whose window lies inside the source along the columns
//! are computed several at a time, the others one by one with the taps that they have; rows outside
//! the source are left out. The order of every sum depends on the shape alone, not on the number of
//! threads.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::activation::values::InRows;
use crate::conv2d::Convolution;
use crate::conv2d::depthwise::transpose;
use crate::conv2d::depthwise_tiles;
use crate::conv2d::direct::Epilogue;
use crate::conv2d::plan::{AxisPlan, Plan, StridePhase, Tap};
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel;
use crate::machine::register::{load, store};
use crate::machine::shared::{Shared, filled};
use crate::machine::simd::Simd;

/// Tasks that are enough for any machine.
const TASKS: usize = 64;
/// Pixels over which the weight gradient sums in registers: what they read for all taps should stay
/// in the first-level cache.
const RUN: usize = 32;
/// Pixels of a task of the weight gradient for each tap: its sums are then few beside what it
/// reads.
const PIXELS_PER_TAP: usize = 8;
/// Taps that are summed at a time in the weight gradient.
const MAX_TAPS: usize = 9;

/// Weights in the order in which they are read, `[tap][channel]`.
pub(crate) fn pack(plan: &Plan, weight: &[f32]) -> Vec<f32> {
    transpose(weight, plan.c_target, plan.taps)
}

/// The plan's target from its source, with weights that are [`pack`]ed.
pub(crate) fn convolve(
    plan: &Plan,
    source: &[f32],
    weights: &[f32],
    epilogue: Epilogue,
) -> Vec<f32> {
    let all_rows = plan.batch * plan.rows.count();
    let rows = all_rows.div_ceil(parallel::wanted_tasks()).max(1);
    let elements = plan.batch * plan.rows.target * plan.columns.target * plan.c_target;
    let tiled = depthwise_tiles::suits(plan);
    // SAFETY: the blocks of rows cover every output once, whatever the phase.
    unsafe {
        filled(elements, |target| {
            parallel::for_each(all_rows.div_ceil(rows), |block| {
                let rows = block * rows..all_rows.min((block + 1) * rows);
                if tiled {
                    vectorised(depthwise_tiles::Rows {
                        plan,
                        source,
                        first_row: 0,
                        weights,
                        epilogue,
                        target,
                        rows,
                    })
                } else {
                    vectorised(Rows {
                        plan,
                        source,
                        weights,
                        epilogue,
                        target,
                        rows,
                    })
                }
            });
        })
    }
}

/// What one tap adds: the source at a distance from the window's pixel, times one row of the
/// weights.
#[derive(Clone, Copy)]
struct Term {
    offset: isize,
    weights: usize,
}

/// The terms of the rows inside the source, and which pixels find all columns inside.
struct Terms {
    terms: Vec<Term>,
    /// Shift of the column of each term, in pixels.
    columns: Vec<isize>,
    inside: Range<usize>,
}

impl Terms {
    /// Of the `t`th row of a phase. Offsets are relative to row `t · step` of the source.
    fn new(plan: &Plan, rows: &StridePhase, columns: &StridePhase, t: usize) -> Self {
        let c = plan.c_source as isize;
        let source_row = plan.columns.source as isize;
        let at = (t * plan.rows.step) as isize;
        let mut terms = Vec::new();
        let mut shifts = Vec::new();
        for row in rows
            .taps
            .iter()
            .filter(|row| (0..plan.rows.source as isize).contains(&(at + row.shift)))
        {
            for column in &columns.taps {
                let offset = (row.shift * source_row + column.shift) * c;
                terms.push(Term {
                    offset,
                    weights: (row.index * plan.kernel_columns + column.index) * plan.c_source,
                });
                shifts.push(column.shift);
            }
        }
        Self {
            terms,
            columns: shifts,
            inside: inside(&plan.columns, &columns.taps, columns.count),
        }
    }

    /// The terms that pixel `u` has.
    fn of_pixel(&self, columns: &AxisPlan, u: usize) -> Vec<Term> {
        let at = (u * columns.step) as isize;
        let terms = self.terms.iter().zip(&self.columns);
        terms
            .filter(|(_, shift)| (0..columns.source as isize).contains(&(at + **shift)))
            .map(|(term, _)| *term)
            .collect()
    }
}

/// The positions whose taps all lie inside the source.
fn inside(axis: &AxisPlan, taps: &[Tap], count: usize) -> Range<usize> {
    let (Some(first), Some(last)) = (taps.first(), taps.last()) else {
        return 0..count;
    };
    let step = axis.step as isize;
    let start = (-first.shift).max(0).unsigned_abs().div_ceil(axis.step);
    let beyond = axis.source as isize - last.shift;
    let end = if beyond <= 0 {
        0
    } else {
        ((beyond - 1) / step + 1) as usize
    };
    start.min(count)..end.min(count).max(start.min(count))
}

/// Some rows of outputs, counted over the whole batch.
struct Rows<'a> {
    plan: &'a Plan,
    source: &'a [f32],
    /// `[tap][channel]`.
    weights: &'a [f32],
    epilogue: Epilogue<'a>,
    target: Shared,
    rows: Range<usize>,
}

impl Loop for Rows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for row in self.rows.clone() {
            let image = row / self.plan.rows.count();
            let t = row % self.plan.rows.count();
            for rows in self.plan.rows.phases.iter().filter(|phase| t < phase.count) {
                for columns in &self.plan.columns.phases {
                    self.row::<S>(image, t, rows, columns);
                }
            }
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, image: usize, t: usize, rows: &StridePhase, columns: &StridePhase) {
        let plan = self.plan;
        let c = self.plan.c_source;
        let terms = Terms::new(plan, rows, columns, t);
        let source = (image * plan.rows.source + t * plan.rows.step) * plan.columns.source * c;
        let target_row =
            (image * plan.rows.target + rows.first + t * rows.stride) * plan.columns.target;
        let start = |values: Option<&[f32]>| values.map_or(std::ptr::null(), <[f32]>::as_ptr);
        let tile = |u: usize| Tile {
            source: self
                .source
                .as_ptr()
                .wrapping_add(source + u * plan.columns.step * c),
            source_step: plan.columns.step * c,
            weights: self.weights.as_ptr(),
            bias: start(self.epilogue.bias),
            residual: match self.epilogue.residual {
                Some(residual) => {
                    residual[(target_row + columns.first + u * columns.stride) * c..].as_ptr()
                }
                None => std::ptr::null(),
            },
            bounds: self.epilogue.bounds(),
            // SAFETY: row, column and channel lie in the target.
            target: unsafe {
                self.target
                    .at((target_row + columns.first + u * columns.stride) * c)
            },
            target_step: columns.stride * c,
            channels: c,
        };
        // SAFETY: each pixel's terms read inside the source; `S` is what the caller is compiled
        // for.
        unsafe {
            for u in (0..terms.inside.start).chain(terms.inside.end..columns.count) {
                tile(u).run::<S, 1>(&terms.of_pixel(&plan.columns, u));
            }
            let mut u = terms.inside.start;
            while u + 8 <= terms.inside.end {
                tile(u).run::<S, 8>(&terms.terms);
                u += 8;
            }
            if u + 4 <= terms.inside.end {
                tile(u).run::<S, 4>(&terms.terms);
                u += 4;
            }
            while u < terms.inside.end {
                tile(u).run::<S, 1>(&terms.terms);
                u += 1;
            }
        }
        if let Some(activation) = self.epilogue.after() {
            let places =
                (0..columns.count).map(|u| (target_row + columns.first + u * columns.stride) * c);
            InRows {
                activation,
                // SAFETY: the target begins there.
                start: unsafe { self.target.at(0) },
                places,
                channels: c,
            }
            .run::<S>();
        }
    }
}

/// Neighbouring outputs of a phase with the same terms.
struct Tile {
    source: *const f32,
    source_step: usize,
    weights: *const f32,
    /// Null if there is none.
    bias: *const f32,
    /// As `target`; null if there is none.
    residual: *const f32,
    bounds: [f32; 2],
    target: *mut f32,
    target_step: usize,
    channels: usize,
}

impl Tile {
    /// # Safety
    /// The terms of `N` pixels lie in the source and the weights, their channels in the target.
    #[inline(always)]
    unsafe fn run<S: Simd, const N: usize>(&self, terms: &[Term]) {
        let mut channel = 0;
        // SAFETY: the caller's promise; whole registers first, then what is left.
        unsafe {
            while channel + S::LANES <= self.channels {
                self.register::<S, N, true>(terms, channel);
                channel += S::LANES;
            }
            if channel < self.channels {
                self.register::<S, N, false>(terms, channel);
            }
        }
    }

    #[inline(always)]
    unsafe fn register<S: Simd, const N: usize, const FULL: bool>(
        &self,
        terms: &[Term],
        channel: usize,
    ) {
        let count = self.channels - channel;
        // SAFETY: the caller's promise.
        unsafe {
            let start = if self.bias.is_null() {
                S::splat(0.)
            } else {
                load::<S, FULL>(self.bias.add(channel), count)
            };
            let mut sums = [start; N];
            let source = self.source.wrapping_add(channel);
            for term in terms {
                let weight = load::<S, FULL>(self.weights.add(term.weights + channel), count);
                let source = source.wrapping_offset(term.offset);
                for (pixel, sum) in sums.iter_mut().enumerate() {
                    let value =
                        load::<S, FULL>(source.wrapping_add(pixel * self.source_step), count);
                    *sum = sum.add_product(value, weight);
                }
            }
            let [low, high] = self.bounds.map(|bound| S::splat(bound));
            for (pixel, &sum) in sums.iter().enumerate() {
                let mut sum = sum;
                let offset = pixel * self.target_step + channel;
                if !self.residual.is_null() {
                    sum = sum.add(load::<S, FULL>(self.residual.add(offset), count));
                }
                store::<S, FULL>(sum.within(low, high), self.target.add(offset), count);
            }
        }
    }
}

/// The gradient in PyTorch's weight order, `(C, 1, K_h, K_w)`.
pub(crate) fn grad_weight(conv: &Convolution, xs: &[f32], grad: &[f32]) -> Vec<f32> {
    let plan = Plan::forward(conv);
    let taps = plan.taps;
    let all_rows = plan.batch * plan.rows.count();
    let rows = (PIXELS_PER_TAP * taps)
        .div_ceil(plan.columns.count().max(1))
        .max(all_rows.div_ceil(TASKS))
        .max(1);
    let tiled = depthwise_tiles::suits(&plan);
    let of_block = |block: usize| {
        let mut sums = vec![0.; taps * conv.c_in];
        let rows = block * rows..all_rows.min((block + 1) * rows);
        let plan = &plan;
        let into = &mut sums[..];
        if tiled {
            vectorised(depthwise_tiles::WeightRows {
                plan,
                xs,
                grad,
                rows,
                sums: into,
            })
        } else {
            vectorised(WeightRows {
                plan,
                xs,
                grad,
                rows,
                sums: into,
            })
        }
        sums
    };
    let partials: Vec<Vec<f32>> = parallel::map(all_rows.div_ceil(rows), of_block);
    let mut sums = vec![0f64; taps * conv.c_in];
    for partial in partials {
        vectorised(AddTo {
            sums: &mut sums,
            terms: &partial,
        });
    }
    transpose(
        &sums.into_iter().map(|sum| sum as f32).collect::<Vec<_>>(),
        taps,
        conv.c_in,
    )
}

/// Adds to sums of higher precision.
struct AddTo<'a> {
    sums: &'a mut [f64],
    terms: &'a [f32],
}

impl Loop for AddTo<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.sums
            .iter_mut()
            .zip(self.terms)
            .for_each(|(sum, &term)| *sum += f64::from(term));
    }
}

/// The part of the weight gradient that some rows of outputs, counted over the whole batch, add to
/// `sums`, `[tap][channel]`.
struct WeightRows<'a> {
    plan: &'a Plan,
    xs: &'a [f32],
    grad: &'a [f32],
    rows: Range<usize>,
    sums: &'a mut [f32],
}

impl Loop for WeightRows<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let plan = self.plan;
        let c = self.plan.c_source;
        let columns = &plan.columns.phases[0];
        for row in self.rows.clone() {
            let image = row / plan.rows.count();
            let t = row % plan.rows.count();
            let terms = Terms::new(plan, &plan.rows.phases[0], columns, t);
            let source = (image * plan.rows.source + t * plan.rows.step) * plan.columns.source * c;
            for u in (0..terms.inside.start).chain(terms.inside.end..columns.count) {
                self.pixels::<S>(row, source, u..u + 1, &terms.of_pixel(&plan.columns, u));
            }
            for start in terms.inside.clone().step_by(RUN) {
                self.pixels::<S>(
                    row,
                    source,
                    start..terms.inside.end.min(start + RUN),
                    &terms.terms,
                );
            }
        }
    }
}

impl WeightRows<'_> {
    /// Adds what neighbouring pixels of a row give; `source` is where the row's windows begin in
    /// the input.
    #[inline(always)]
    fn pixels<S: Simd>(&mut self, row: usize, source: usize, pixels: Range<usize>, terms: &[Term]) {
        let plan = self.plan;
        let c = self.plan.c_source;
        let mut run = Pixels {
            xs: self
                .xs
                .as_ptr()
                .wrapping_add(source + pixels.start * plan.columns.step * c),
            xs_step: plan.columns.step * c,
            grad: self.grad[(row * plan.columns.count() + pixels.start) * c..].as_ptr(),
            count: pixels.len(),
            channels: c,
            sums: self.sums.as_mut_ptr(),
        };
        for terms in terms.chunks(MAX_TAPS) {
            // SAFETY: each pixel's terms read inside the input; `S` is what the caller is compiled
            // for.
            unsafe { run.add::<S>(terms) };
        }
    }
}

/// Neighbouring outputs with the same terms.
struct Pixels {
    xs: *const f32,
    xs_step: usize,
    grad: *const f32,
    count: usize,
    channels: usize,
    sums: *mut f32,
}

impl Pixels {
    /// # Safety
    /// The terms of all pixels lie in the input and the sums.
    #[inline(always)]
    unsafe fn add<S: Simd>(&mut self, terms: &[Term]) {
        // SAFETY: the caller's promise.
        unsafe {
            match terms.len() {
                9 => self.channels::<S, 9>(terms),
                8 => self.channels::<S, 8>(terms),
                7 => self.channels::<S, 7>(terms),
                6 => self.channels::<S, 6>(terms),
                5 => self.channels::<S, 5>(terms),
                4 => self.channels::<S, 4>(terms),
                3 => self.channels::<S, 3>(terms),
                2 => self.channels::<S, 2>(terms),
                1 => self.channels::<S, 1>(terms),
                _ => {}
            }
        }
    }

    #[inline(always)]
    unsafe fn channels<S: Simd, const N: usize>(&mut self, terms: &[Term]) {
        let mut channel = 0;
        // SAFETY: the caller's promise; whole registers first, then what is left.
        unsafe {
            while channel + S::LANES <= self.channels {
                self.register::<S, N, true>(terms, channel);
                channel += S::LANES;
            }
            if channel < self.channels {
                self.register::<S, N, false>(terms, channel);
            }
        }
    }

    #[inline(always)]
    unsafe fn register<S: Simd, const N: usize, const FULL: bool>(
        &mut self,
        terms: &[Term],
        channel: usize,
    ) {
        let count = self.channels - channel;
        // SAFETY: the caller's promise.
        unsafe {
            let offsets: [isize; N] = std::array::from_fn(|n| terms[n].offset);
            let mut sums = [S::splat(0.); N];
            let mut xs = self.xs.wrapping_add(channel);
            let mut grad = self.grad.add(channel);
            for _ in 0..self.count {
                let value = load::<S, FULL>(grad, count);
                for n in 0..N {
                    sums[n] = sums[n].add_product(
                        load::<S, FULL>(xs.wrapping_offset(offsets[n]), count),
                        value,
                    );
                }
                xs = xs.wrapping_add(self.xs_step);
                grad = grad.wrapping_add(self.channels);
            }
            for (sum, term) in sums.iter().zip(terms) {
                let to = self.sums.add(term.weights + channel);
                store::<S, FULL>(load::<S, FULL>(to, count).add(*sum), to, count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_inside_are_those_whose_taps_all_read_the_source() {
        for (source, step, shifts, count) in [
            (7, 1, vec![-1, 0, 1], 7),
            (7, 2, vec![-1, 0, 1], 4),
            (3, 1, vec![-4, 5], 9),
            (5, 3, vec![2], 9),
            (4, 2, vec![], 3),
        ] {
            let taps: Vec<Tap> = shifts
                .iter()
                .map(|&shift| Tap { shift, index: 0 })
                .collect();
            let axis = AxisPlan {
                source,
                target: count,
                step,
                phases: Vec::new(),
            };
            let reads = |u: &usize| {
                shifts
                    .iter()
                    .all(|shift| (0..source as isize).contains(&((u * step) as isize + shift)))
            };
            let expected: Vec<usize> = (0..count).filter(reads).collect();
            assert_eq!(
                inside(&axis, &taps, count).collect::<Vec<_>>(),
                expected,
                "{shifts:?}"
            );
        }
    }
}
