//! A 1×1 convolution and the depthwise one that reads it, some rows at a time, so that the wide map
//! between them never leaves a core's second-level cache.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::conv2d::depthwise_tiles;
use crate::conv2d::direct::{DirectConv2d, Epilogue};
use crate::conv2d::joined::SourcePart;
use crate::conv2d::packed_weights::PackedWeights;
use crate::conv2d::plan::Plan;
use crate::machine::isa::vectorised;
use crate::machine::parallel;
use crate::machine::scratch::Scratch;
use crate::machine::shared::{Shared, Target, filled};

/// Floats of the map between that are worth not writing.
const WIDE: usize = 128 << 10;
/// Floats of it that are kept at a time: they should stay in a core's second-level cache.
const KEPT: usize = 128 << 10;
/// Fewest rows of a task, since the first ones read rows that another task computes, too.
const TASK_ROWS: usize = 7;

/// Whether both are computed together.
pub(crate) fn suits(pointwise: &Plan, depthwise: &Plan) -> bool {
    let source = depthwise.rows.source * depthwise.columns.source * depthwise.c_source;
    let reads_it = pointwise.c_target == depthwise.c_source
        && pointwise.rows.target == depthwise.rows.source
        && pointwise.columns.target == depthwise.columns.source
        && pointwise.batch == depthwise.batch;
    let least = depthwise.rows.window(0..1).len() * depthwise.columns.source * depthwise.c_source;
    reads_it
        && pointwise.is_pointwise()
        && pointwise.groups == 1
        && depthwise_tiles::suits(depthwise)
        && depthwise.batch * source > WIDE
        && depthwise.batch * depthwise.rows.count() >= TASK_ROWS * rayon::current_num_threads()
        && least <= KEPT
}

/// One of the two convolutions.
pub(crate) struct Part<'a, W> {
    pub(crate) plan: &'a Plan,
    pub(crate) weights: W,
    pub(crate) epilogue: Epilogue<'a>,
}

/// The depthwise convolution's target; the plans [suit](suits).
pub(crate) fn convolve(
    source: &[f32],
    pointwise: &Part<'_, &PackedWeights>,
    depthwise: &Part<'_, &[f32]>,
) -> Vec<f32> {
    let plan = depthwise.plan;
    let parts = [SourcePart::whole(pointwise.plan, source)];
    let work = Expanded {
        pointwise: DirectConv2d::new(
            pointwise.plan,
            &parts,
            pointwise.weights,
            pointwise.epilogue,
        ),
        // What the tiles read comes from the cache, however large the batch is.
        plan: Plan {
            batch: 1,
            ..plan.clone()
        },
        weights: depthwise.weights,
        epilogue: depthwise.epilogue,
    };
    let all_rows = plan.batch * plan.rows.count();
    let rows = all_rows.div_ceil(parallel::wanted_tasks()).max(TASK_ROWS);
    let elements = plan.batch * plan.rows.target * plan.columns.target * plan.c_target;
    // SAFETY: the tasks cover every row of outputs once.
    unsafe {
        filled(elements, |target| {
            parallel::for_each(all_rows.div_ceil(rows), |task| {
                work.run(task * rows..all_rows.min((task + 1) * rows), target);
            });
        })
    }
}

/// All that the tasks of one call share.
struct Expanded<'a> {
    pointwise: DirectConv2d<'a>,
    /// The depthwise convolution's, of one image.
    plan: Plan,
    weights: &'a [f32],
    epilogue: Epilogue<'a>,
}

impl Expanded<'_> {
    /// Computes some rows of outputs, counted over the whole batch.
    fn run(&self, rows: Range<usize>, target: Shared) {
        let plan = &self.plan;
        let count = plan.rows.count();
        let row_floats = plan.columns.source * plan.c_source;
        let step = self.rows_at_a_time();
        let mut scratch = Scratch::take(plan.rows.window(0..step).len() * row_floats);
        let start = scratch.as_mut_ptr();
        // Rows of the map between, counted over the whole batch.
        let mut held = 0..0;
        let mut next = rows.start;
        while next < rows.end {
            let image = next / count;
            let t = next % count;
            let end = rows.end.min((image + 1) * count).min(next + step);
            let needed = self.rows_read(image, t..t + (end - next));
            let is_kept = held.contains(&needed.start);
            let kept = needed.start..held.end.min(needed.end);
            let missing = if is_kept { kept.end } else { needed.start };
            // SAFETY: the scratch has room for the rows that so many outputs read. The rows that
            // are kept lie in it, the others are computed behind them; then all are there. The rows
            // of the target are this task's.
            unsafe {
                if is_kept {
                    let from = start.add((kept.start - held.start) * row_floats);
                    std::ptr::copy(from, start, kept.len() * row_floats);
                }
                let wide = Target {
                    start: Shared::new(start),
                    pixel: plan.c_source,
                };
                let before = needed.start * plan.columns.source;
                self.pointwise.run_all(missing..needed.end, wide, before);
                vectorised(depthwise_tiles::Rows {
                    plan,
                    source: std::slice::from_raw_parts(start, needed.len() * row_floats),
                    first_row: needed.start,
                    weights: self.weights,
                    epilogue: self.epilogue,
                    target,
                    rows: next..end,
                });
            }
            held = needed;
            next = end;
        }
    }

    /// Rows of outputs whose windows fit what is kept.
    fn rows_at_a_time(&self) -> usize {
        let plan = &self.plan;
        let row_floats = plan.columns.source * plan.c_source;
        let fits = |rows: &usize| plan.rows.window(0..*rows).len() * row_floats <= KEPT;
        (1..=plan.rows.count()).take_while(fits).last().unwrap_or(1)
    }

    /// The rows of the map between that rows of an image's outputs read.
    fn rows_read(&self, image: usize, rows: Range<usize>) -> Range<usize> {
        let all = self.plan.rows.source;
        let window = self.plan.rows.window(rows);
        let inside = |row: isize| image * all + row.clamp(0, all as isize) as usize;
        inside(window.start)..inside(window.end).max(inside(window.start))
    }
}
