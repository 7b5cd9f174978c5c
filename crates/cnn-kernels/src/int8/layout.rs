//! Where a convolution of bytes reads its windows, and how its work is cut into tasks.

use crate::conv2d::Convolution;
use crate::geometry::Axis;
use crate::int8::packed::{QUAD, Reading};
use crate::machine::parallel;

/// Bytes of the source that a task works on: they should stay in a core's second-level cache.
const STRIP: usize = 64 << 10;
/// Bytes of a copied row, of all its rows under one row of outputs, that are absurd.
const MOST_STRIP: usize = 4 << 20;
/// Multiply-adds that are worth a task of their own.
const TASK_WORK: usize = 1 << 21;
/// Bytes of weights that are worth a task of their own, however few pixels there are.
const TASK_WEIGHTS: usize = 96 << 10;
/// Fewest pixels of a task, so that weights are read for several tiles.
const TASK_PIXELS: usize = 56;

/// Where windows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the map, each window one pixel.
    Pixels,
    Map,
    Strip,
    Patches,
}

/// How the source of a block lies in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) place: Place,
    /// Bytes between neighbouring source pixels.
    pub(crate) pixel: usize,
    /// Bytes between neighbouring source rows.
    pub(crate) row: usize,
    /// Outputs that are computed together at least: a row, or one.
    pub(crate) unit: usize,
}

/// Places along an axis that some neighbouring outputs read.
pub(crate) fn span(axis: &Axis, outputs: usize) -> usize {
    (outputs - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1
}

fn stays_inside(axis: &Axis) -> bool {
    axis.before == 0 && span(axis, axis.output) <= axis.input
}

impl Layout {
    pub(crate) fn of(conv: &Convolution) -> Self {
        let rows = &conv.geometry.rows;
        let columns = &conv.geometry.columns;
        let pixel = match Reading::of(conv) {
            Reading::Rows => conv.c_in,
            Reading::Taps => conv.groups * conv.group_in().next_multiple_of(QUAD),
        };
        let whole_quads = conv.group_in().is_multiple_of(QUAD);
        if whole_quads && stays_inside(rows) && stays_inside(columns) {
            let pointwise = conv.geometry.is_pointwise();
            return Self {
                place: if pointwise { Place::Pixels } else { Place::Map },
                pixel,
                row: columns.input * pixel,
                unit: if pointwise { 1 } else { columns.output },
            };
        }
        let row = span(columns, columns.output) * pixel;
        if row.saturating_mul(span(rows, 1)) <= MOST_STRIP {
            return Self {
                place: Place::Strip,
                pixel,
                row,
                unit: columns.output,
            };
        }
        Self {
            place: Place::Patches,
            pixel,
            row: 0,
            unit: 1,
        }
    }

    /// Bytes of source under another unit of outputs.
    fn unit_bytes(&self, conv: &Convolution) -> usize {
        match self.place {
            Place::Patches => conv.taps() * self.pixel,
            Place::Pixels => self.pixel,
            Place::Map | Place::Strip => {
                // Each image brings the rows that its windows share.
                let rows = &conv.geometry.rows;
                let share = span(rows, rows.output).div_ceil(rows.output);
                rows.stride.max(share) * self.row
            }
        }
    }
}

/// How the work is cut into tasks.
pub(crate) struct Division {
    /// Of the units.
    pub(crate) blocks: usize,
    /// Of the panels, where there are not blocks enough.
    pub(crate) divisions: usize,
}

impl Division {
    pub(crate) fn of(conv: &Convolution, layout: &Layout, units: usize, panels: usize) -> Self {
        let most = (STRIP / layout.unit_bytes(conv).max(1)).clamp(1, units);
        let weights = conv.c_out * conv.group_in() * conv.taps();
        let most_tasks = parallel::wanted_tasks();
        let threads = rayon::current_num_threads();
        let wanted = (units * layout.unit * weights / TASK_WORK)
            .max(weights / TASK_WEIGHTS)
            .clamp(1, most_tasks);
        let least = TASK_PIXELS.div_ceil(layout.unit).min(most);
        let mut blocks = units.div_ceil(most.min(units.div_ceil(wanted)).max(least));
        let divisions = wanted.div_ceil(blocks).clamp(1, panels);
        // A few tasks that the threads cannot share equally leave one of them waiting.
        let unequal = |blocks: usize| !(blocks * divisions).is_multiple_of(threads);
        while wanted > 1 && unequal(blocks) && blocks < units && blocks * divisions < most_tasks {
            blocks += 1;
        }
        Self { blocks, divisions }
    }
}
