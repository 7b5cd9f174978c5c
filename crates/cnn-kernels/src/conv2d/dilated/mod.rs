//! Convolutions with taps far apart, and their gradients, in f32: the register tiles of
//! [`direct`](super::direct) where the source lies, without padding.
//!
//! Padding for such taps would be many times as large as what it is around. Instead, outputs are
//! divided into zones whose pixels find the same taps inside the source; the others are left out, so
//! that a tap beyond the map costs nothing. The order of every sum depends on the shape alone.
#![allow(unsafe_code)]

mod source;
mod weight_gradient;

use std::ops::Range;

use self::source::Source;
pub(super) use self::weight_gradient::grad_weight;
use crate::activation::values::activate_rows;
use crate::conv2d::direct::{Epilogue, UNBOUNDED, equal_parts, part};
use crate::conv2d::microkernel::{Multiply, Segment};
use crate::conv2d::packed_weights::{PackedWeights, Panel, phase_pairs};
use crate::conv2d::plan::{AxisPlan, Plan, StridePhase, Tap};
use crate::machine::parallel;
use crate::machine::shared::Target;
use crate::machine::simd::MAX_LANES;

/// Floats of the source under a block of rows, about: they should stay in a core's second-level
/// cache.
const BLOCK: usize = 256 << 10;
/// Floats of packed weights that are used for all pixels of a zone before the next ones: they too.
const CHUNK: usize = 32 << 10;
/// Multiply-adds that are worth a task of their own.
const TASK_WORK: usize = 1 << 19;

/// Whether taps of the plan lie apart.
pub(crate) fn suits(plan: &Plan) -> bool {
    let lies_apart = |phase: &StridePhase| {
        let mut pairs = phase.taps.windows(2);
        pairs.any(|pair| pair[0].shift + 1 < pair[1].shift)
    };
    let phases = plan.rows.phases.iter().chain(&plan.columns.phases);
    phases.into_iter().any(lies_apart)
}

/// Outputs along one axis that find the same taps inside the source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Zone {
    positions: Range<usize>,
    /// Of the phase.
    taps: Range<usize>,
}

impl Zone {
    /// All outputs of a phase, in order.
    fn split(axis: &AxisPlan, phase: &StridePhase) -> Vec<Self> {
        let mut zones: Vec<Self> = Vec::new();
        for position in 0..phase.count {
            let at = (position * axis.step) as isize;
            let before = |end: isize| {
                let taps = phase.taps.iter();
                taps.take_while(|tap| at + tap.shift < end).count()
            };
            let taps = before(0)..before(axis.source as isize);
            match zones.last_mut() {
                Some(zone) if zone.taps == taps => zone.positions.end = position + 1,
                _ => zones.push(Self {
                    positions: position..position + 1,
                    taps,
                }),
            }
        }
        zones
    }

    /// The taps that its outputs have.
    fn of<'a>(&self, phase: &'a StridePhase) -> &'a [Tap] {
        &phase.taps[self.taps.clone()]
    }
}

/// Some of the values that each pixel of a zone reads, of which the weights lie together.
struct Chunk {
    /// Values whose weights lie before them.
    before: usize,
    depth: usize,
    segments: Vec<Segment>,
    /// Whether their products are the first of a sum, and the last.
    is_first: bool,
    is_last: bool,
}

impl Chunk {
    fn new(before: usize) -> Self {
        Self {
            before,
            depth: 0,
            segments: Vec::new(),
            is_first: false,
            is_last: false,
        }
    }
}

/// A zone of rows with one of columns.
struct Area<'a> {
    /// Its number among the pairs of phases.
    pair: usize,
    rows: &'a StridePhase,
    columns: &'a StridePhase,
    row_zone: Zone,
    column_zone: Zone,
}

impl<'a> Area<'a> {
    fn all(plan: &'a Plan) -> Vec<Self> {
        let of_pair = |(pair, (rows, columns)): (usize, (&'a StridePhase, &'a StridePhase))| {
            let column_zones = Zone::split(&plan.columns, columns);
            let row_zones = Zone::split(&plan.rows, rows).into_iter();
            row_zones.flat_map(move |row_zone| {
                let area = |column_zone: &Zone| Self {
                    pair,
                    rows,
                    columns,
                    row_zone: row_zone.clone(),
                    column_zone: column_zone.clone(),
                };
                column_zones.iter().map(area).collect::<Vec<_>>()
            })
        };
        phase_pairs(plan).enumerate().flat_map(of_pair).collect()
    }

    /// What each pixel reads relative to its first tap, in chunks of at most `most` values; one
    /// without values where it has no tap.
    fn chunks(&self, plan: &Plan, source: &Source, most: usize) -> Vec<Chunk> {
        let depth = plan.group_source();
        let rows = self.row_zone.of(self.rows);
        let columns = self.column_zone.of(self.columns);
        let mut chunks: Vec<Chunk> = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            for (j, column) in columns.iter().enumerate() {
                let line = (row.shift - rows[0].shift) as usize * source.row;
                let offset = line + (column.shift - columns[0].shift) as usize * source.pixel;
                let tap = (self.row_zone.taps.start + i) * self.columns.taps.len();
                let before = (tap + self.column_zone.taps.start + j) * depth;
                for piece in equal_parts(depth, most) {
                    let segment = Segment {
                        offset: offset + piece.start,
                        len: piece.len(),
                    };
                    let before = before + piece.start;
                    let continues = |chunk: &Chunk| {
                        chunk.before + chunk.depth == before && chunk.depth + piece.len() <= most
                    };
                    if !chunks.last().is_some_and(continues) {
                        chunks.push(Chunk::new(before));
                    }
                    if let Some(chunk) = chunks.last_mut() {
                        chunk.depth += piece.len();
                        chunk.segments.push(segment);
                    }
                }
            }
        }
        if chunks.is_empty() {
            chunks.push(Chunk::new(0));
        }
        if let Some(first) = chunks.first_mut() {
            first.is_first = true;
        }
        if let Some(last) = chunks.last_mut() {
            last.is_last = true;
        }
        chunks
    }

    /// Where each pixel of a block of rows reads its first tap, and its place in the target.
    fn pixels(&self, plan: &Plan, source: &Source, block: Range<usize>, target: &Target) -> Pixels {
        let first = |taps: &[Tap]| taps.first().map_or(0, |tap| tap.shift);
        let row_shift = first(self.row_zone.of(self.rows));
        let column_shift = first(self.column_zone.of(self.columns));
        let has_taps = !(self.row_zone.taps.is_empty() || self.column_zone.taps.is_empty());
        let mut pixels = Pixels::default();
        for (image, t) in plan.places(block) {
            if !self.row_zone.positions.contains(&t) {
                continue;
            }
            let row = (t * plan.rows.step) as isize + row_shift;
            let line = image * plan.rows.target + self.rows.first + t * self.rows.stride;
            for x in self.column_zone.positions.clone() {
                let column = (x * plan.columns.step) as isize + column_shift;
                pixels.reads.push(if has_taps {
                    source.place(image, row as usize, column as usize)
                } else {
                    0
                });
                let pixel = line * plan.columns.target + self.columns.first;
                pixels
                    .writes
                    .push((pixel + x * self.columns.stride) * target.pixel);
            }
        }
        pixels
    }
}

/// Where pixels are read and written.
#[derive(Default)]
struct Pixels {
    reads: Vec<usize>,
    writes: Vec<usize>,
}

/// The plan's target from its source, written to a place that may be wider.
///
/// # Safety
/// The target has room for the plan's, and nobody else uses these channels meanwhile.
pub(super) unsafe fn convolve_into(
    plan: &Plan,
    source: &[f32],
    weights: &PackedWeights,
    epilogue: Epilogue,
    target: Target,
) {
    let source = Source::new(plan, source);
    let areas = Area::all(plan);
    let panels = &weights.panels;
    let all_rows = plan.batch * plan.rows.count();
    let most = (BLOCK / (plan.rows.step * source.row).max(1)).max(1);
    let multiply_adds =
        all_rows * plan.columns.count() * plan.taps * plan.group_source() * plan.c_target;
    let wanted = (multiply_adds / TASK_WORK).clamp(1, parallel::wanted_tasks());
    let divisions = wanted.min(panels.len()).max(1);
    let blocks = all_rows
        .div_ceil(most)
        .max(wanted.div_ceil(divisions))
        .clamp(1, all_rows.max(1));
    let work = Dilated {
        plan,
        source: &source,
        weights,
        epilogue,
        target,
    };
    // The blocks of rows with the panels cover every output once.
    parallel::for_each(blocks * divisions, |task| {
        let rows = part(all_rows, blocks, task / divisions);
        let panels = &panels[part(panels.len(), divisions, task % divisions)];
        for area in &areas {
            work.run(area, rows.clone(), panels);
        }
    });
}

/// All that the tasks of one call share.
struct Dilated<'a> {
    plan: &'a Plan,
    source: &'a Source<'a>,
    weights: &'a PackedWeights,
    epilogue: Epilogue<'a>,
    target: Target,
}

impl Dilated<'_> {
    fn run(&self, area: &Area, rows: Range<usize>, panels: &[Panel]) {
        let pixels = area.pixels(self.plan, self.source, rows, &self.target);
        if pixels.reads.is_empty() {
            return;
        }
        for panel in panels {
            let width = panel.vectors * self.weights.kernels.lanes;
            let chunks = area.chunks(self.plan, self.source, CHUNK / width);
            for chunk in &chunks {
                self.multiply(area, panel, &pixels, chunk);
            }
        }
    }

    /// Adds the products of one chunk for all pixels.
    fn multiply(&self, area: &Area, panel: &Panel, pixels: &Pixels, chunk: &Chunk) {
        let kernels = self.weights.kernels;
        let width = panel.vectors * kernels.lanes;
        let channel = panel.group * self.plan.group_target() + panel.first;
        let from_channel = |values: Option<&[f32]>| {
            values.map_or(std::ptr::null(), |values| values[channel..].as_ptr())
        };
        let Epilogue { bias, residual, .. } = self.epilogue;
        let bias = from_channel(bias.filter(|_| chunk.is_first));
        let residual = from_channel(residual.filter(|_| chunk.is_last));
        let bounds = if chunk.is_last {
            self.epilogue.bounds()
        } else {
            UNBOUNDED
        };
        let weights = self.weights.panel(area.pair, panel);
        let next = weights.wrapping_add((chunk.before + chunk.depth) * width);
        for (number, tile) in
            equal_parts(pixels.reads.len(), kernels.rows(panel.vectors)).enumerate()
        {
            // Between them, the first tiles ask for the next chunk of weights.
            let ahead = if number < panel.vectors {
                next.wrapping_add(number * chunk.depth * MAX_LANES)
            } else {
                std::ptr::null()
            };
            let writes = &pixels.writes[tile.clone()];
            // SAFETY: these taps of these pixels lie inside the source, the panel's packed weights
            // are whole registers, and the pixels and channels of the target belong to this task.
            unsafe {
                let target = self.target.start.at(channel);
                kernels.multiply(&Multiply {
                    a: self
                        .source
                        .start()
                        .add(panel.group * self.plan.group_source()),
                    pixels: &pixels.reads[tile],
                    segments: &chunk.segments,
                    b: weights.add(chunk.before * width),
                    c: target,
                    outputs: writes,
                    bias,
                    residual,
                    bounds,
                    accumulate: !chunk.is_first,
                    channels: panel.channels,
                    ahead,
                });
                if let Some(activation) = self.epilogue.after().filter(|_| chunk.is_last) {
                    activate_rows(activation, target, writes.iter().copied(), panel.channels);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::Convolution;
    use crate::{Conv2dSpec, Padding};

    fn plan(size: usize, dilation: usize, padding: usize) -> Plan {
        let spec = Conv2dSpec {
            dilation: [dilation; 2],
            padding: Padding::all(padding),
            ..Conv2dSpec::default()
        };
        let conv = Convolution::new([1, size, size, 4], &[4, 4, 3, 3], None, &spec);
        Plan::forward(&conv.expect("the shapes agree"))
    }

    #[test]
    fn zones_leave_out_the_taps_beyond_the_map() {
        let zones = |size, dilation, padding| -> Vec<_> {
            let plan = plan(size, dilation, padding);
            let zones = Zone::split(&plan.rows, &plan.rows.phases[0]).into_iter();
            zones.map(|zone| (zone.positions, zone.taps)).collect()
        };
        assert_eq!(zones(9, 2, 2), [(0..2, 1..3), (2..7, 0..3), (7..9, 0..2)]);
        assert_eq!(zones(9, 6, 6), [(0..3, 1..3), (3..6, 1..2), (6..9, 0..2)]);
        assert_eq!(zones(9, 12, 12), [(0..9, 1..2)]);
        assert_eq!(zones(9, 3, 0), [(0..3, 0..3)]);
        assert_eq!(zones(1, 2, 4)[0], (0..1, 2..3));
        // The first output sees nothing but padding.
        assert_eq!(zones(1, 3, 7)[..2], [(0..1, 3..3), (1..2, 2..3)]);
    }

    #[test]
    fn it_is_for_taps_that_lie_apart() {
        assert!(suits(&plan(9, 2, 2)) && suits(&plan(9, 12, 12)));
        assert!(!suits(&plan(9, 1, 1)));
    }
}
