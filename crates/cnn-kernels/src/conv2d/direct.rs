//! Convolution and the gradient of its input in f32: register tiles of pixels by output channels,
//! straight from the channels-last input.
//!
//! A task computes a block of output rows for some panels of channels. It copies the rows that it
//! reads only if they need padding; weights are packed once per call. The order of every sum
//! depends on the shape alone, not on how the work is cut into tasks.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::Activation;
use crate::activation::values::activate_rows;
use crate::conv2d::dilated;
use crate::conv2d::joined::SourcePart;
use crate::conv2d::microkernel::{Microkernels, Multiply, Segment};
use crate::conv2d::packed_weights::{PackedWeights, Panel, phase_pairs};
use crate::conv2d::plan::{Plan, StridePhase};
use crate::conv2d::strip::{Layout, Strip};
use crate::machine::parallel;
use crate::machine::shared::{Target, filled};
use crate::machine::simd::MAX_LANES;

/// Floats of the source that a task works on: they should stay in a core's second-level cache.
const STRIP: usize = 64 << 10;
/// Floats of packed weights that are used for all pixels of a task before the next ones: they too.
const CHUNK: usize = 32 << 10;
/// Multiply-adds that are worth a task of their own.
const TASK_WORK: usize = 1 << 19;
/// Floats of weights that are worth a task of their own, however few pixels there are.
const TASK_WEIGHTS: usize = 48 << 10;
/// Tiles of pixels that are too few to hide how weights come from memory.
const FEW_TILES: usize = 8;
/// Rows per task that can be shared out equally enough; where there are fewer, pixels are.
const ROWS_TO_SHARE: usize = 4;
/// Fewest pixels of a task, so that weights are read for several tiles.
const TASK_PIXELS: usize = 56;

/// Floats of the copy that is the least for any block of this plan: the source rows under one row
/// of outputs. Taps that lie apart need none.
pub(crate) fn least_scratch(plan: &Plan) -> usize {
    if dilated::suits(plan) {
        return 0;
    }
    let layout = Layout::of(plan);
    if layout.copied {
        layout.floats(plan, 1)
    } else {
        0
    }
}

/// What becomes of a sum before it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// One value per channel, added.
    pub(crate) bias: Option<&'a [f32]>,
    /// A map of the target's shape, added.
    pub(crate) residual: Option<&'a [f32]>,
    /// Applied to the sum.
    pub(crate) activation: Activation,
}

/// Bounds that keep every sum.
pub(crate) const UNBOUNDED: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

impl<'a> Epilogue<'a> {
    /// A bias or none, nothing else.
    pub(crate) fn bias(bias: Option<&'a [f32]>) -> Self {
        Self {
            bias,
            residual: None,
            activation: Activation::Identity,
        }
    }

    /// The bounds within which the activation brings a sum before it is stored; NaN stays.
    pub(crate) fn bounds(&self) -> [f32; 2] {
        match self.activation {
            Activation::Relu => [0., f32::INFINITY],
            Activation::Relu6 => [0., 6.],
            _ => UNBOUNDED,
        }
    }

    /// The activation, if bounds do not express it: it is applied to sums that were just stored.
    pub(crate) fn after(&self) -> Option<Activation> {
        match self.activation {
            Activation::Identity | Activation::Relu | Activation::Relu6 => None,
            other => Some(other),
        }
    }
}

/// The plan's target from its source.
pub(crate) fn convolve(
    plan: &Plan,
    source: &[f32],
    weights: &PackedWeights,
    epilogue: Epilogue,
) -> Vec<f32> {
    let elements = plan.batch * plan.rows.target * plan.columns.target * plan.c_target;
    // SAFETY: every output is written once.
    unsafe {
        filled(elements, |start| {
            convolve_into(
                plan,
                &[SourcePart::whole(plan, source)],
                weights,
                epilogue,
                Target {
                    start,
                    pixel: plan.c_target,
                },
            );
        })
    }
}

/// The same, from one map or several, written to a place that may be wider.
///
/// # Safety
/// The target has room for the plan's, and nobody else uses these channels meanwhile.
pub(crate) unsafe fn convolve_into(
    plan: &Plan,
    source: &[SourcePart],
    weights: &PackedWeights,
    epilogue: Epilogue,
    target: Target,
) {
    let few_rows = plan.batch * plan.rows.count() < ROWS_TO_SHARE * parallel::wanted_tasks();
    // SAFETY: the caller's promise.
    unsafe {
        match SourcePart::alone(source) {
            Some(values) if dilated::suits(plan) => {
                dilated::convolve_into(plan, values, weights, epilogue, target);
            }
            Some(values) if few_rows && plan.is_pointwise() => {
                let plan = plan.flattened();
                let source = [SourcePart::whole(&plan, values)];
                divided(&plan, &source, weights, epilogue, target);
            }
            _ => divided(plan, source, weights, epilogue, target),
        }
    }
}

/// The plan's target from its source, in parallel tasks.
///
/// # Safety
/// As [`convolve_into`].
unsafe fn divided(
    plan: &Plan,
    source: &[SourcePart],
    weights: &PackedWeights,
    epilogue: Epilogue,
    target: Target,
) {
    let panels = &weights.panels;
    let work = DirectConv2d::new(plan, source, weights, epilogue);
    let all_rows = plan.batch * plan.rows.count();
    let Division { blocks, divisions } = Division::of(plan, &work.layout, panels.len());
    // The blocks of rows with the panels cover every output once, whatever the phase.
    parallel::for_each(blocks * divisions, |task| {
        let rows = part(all_rows, blocks, task / divisions);
        let panels = &panels[part(panels.len(), divisions, task % divisions)];
        work.run(rows, panels, target, 0);
    });
}

/// One of some parts of `0..all`, which differ by one at most.
pub(crate) fn part(all: usize, parts: usize, number: usize) -> Range<usize> {
    all * number / parts..all * (number + 1) / parts
}

/// How the work is cut into tasks.
struct Division {
    /// Of the output rows.
    blocks: usize,
    /// Of the panels, where there are not blocks enough.
    divisions: usize,
}

impl Division {
    fn of(plan: &Plan, layout: &Layout, panels: usize) -> Self {
        let all_rows = (plan.batch * plan.rows.count()).max(1);
        let row_floats = plan.rows.step * layout.row;
        let most = (STRIP / row_floats.max(1)).clamp(1, all_rows);
        let taps: usize = phase_pairs(plan)
            .map(|(rows, columns)| rows.taps.len() * columns.taps.len())
            .sum();
        let multiply_adds =
            all_rows * plan.columns.count() * taps * plan.group_source() * plan.c_target;
        let most_tasks = parallel::wanted_tasks();
        let weights = taps * plan.group_source() * plan.c_target;
        let wanted = (multiply_adds / TASK_WORK)
            .max(weights / TASK_WEIGHTS)
            .clamp(1, most_tasks);
        let least = TASK_PIXELS.div_ceil(plan.columns.count().max(1)).min(most);
        let rows = most.min(all_rows.div_ceil(wanted)).max(least);
        let mut blocks = all_rows.div_ceil(rows);
        let divisions = wanted.div_ceil(blocks).clamp(1, panels.max(1));
        // A few tasks that the threads cannot share equally leave one of them waiting.
        let threads = rayon::current_num_threads();
        let unequal = |blocks: usize| !(blocks * divisions).is_multiple_of(threads);
        while wanted > 1 && unequal(blocks) && blocks < all_rows && blocks * divisions < most_tasks
        {
            blocks += 1;
        }
        Self { blocks, divisions }
    }
}

/// A row phase with a column phase: the same reads for every pixel.
struct PhasePair<'a> {
    rows: &'a StridePhase,
    columns: &'a StridePhase,
    segments: Vec<Segment>,
    depth: usize,
}

impl<'a> PhasePair<'a> {
    fn new(plan: &Plan, layout: &Layout, rows: &'a StridePhase, columns: &'a StridePhase) -> Self {
        let segments = segments(plan, layout, rows, columns);
        let depth = segments.iter().map(|segment| segment.len).sum();
        Self {
            rows,
            columns,
            segments,
            depth,
        }
    }

    /// The segments cut into chunks of at most about `most` values, equally large.
    fn chunks(&self, most: usize) -> Vec<Vec<Segment>> {
        let size = self.depth.div_ceil(self.depth.div_ceil(most).max(1)).max(1);
        let mut chunks = vec![Vec::new()];
        let mut room = size;
        for segment in &self.segments {
            let mut rest = *segment;
            while rest.len > 0 {
                if room == 0 {
                    chunks.push(Vec::new());
                    room = size;
                }
                let len = rest.len.min(room);
                chunks
                    .last_mut()
                    .expect("there is always a chunk")
                    .push(Segment {
                        offset: rest.offset,
                        len,
                    });
                (rest, room) = (
                    Segment {
                        offset: rest.offset + len,
                        len: rest.len - len,
                    },
                    room - len,
                );
            }
        }
        chunks
    }
}

/// What each pixel of a phase reads, relative to the start of its window; taps that read
/// neighbouring pixels whole are one segment.
pub(crate) fn segments(
    plan: &Plan,
    layout: &Layout,
    rows: &StridePhase,
    columns: &StridePhase,
) -> Vec<Segment> {
    let first_row = plan.rows.window(0..1).start;
    let first_column = plan.columns.window(0..1).start;
    let depth = plan.group_source();
    let mut segments: Vec<Segment> = Vec::new();
    for row in &rows.taps {
        let row_offset = (row.shift - first_row) as usize * layout.row;
        let mut last_of_row: Option<isize> = None;
        for column in &columns.taps {
            let neighbours = last_of_row == Some(column.shift - 1) && layout.pixel == depth;
            match segments.last_mut() {
                Some(segment) if neighbours => segment.len += depth,
                _ => segments.push(Segment {
                    offset: row_offset + (column.shift - first_column) as usize * layout.pixel,
                    len: depth,
                }),
            }
            last_of_row = Some(column.shift);
        }
    }
    segments
}

/// All that the tasks of one call share.
pub(crate) struct DirectConv2d<'a> {
    kernels: &'static Microkernels,
    plan: &'a Plan,
    layout: Layout,
    phases: Vec<PhasePair<'a>>,
    weights: &'a PackedWeights,
    source: &'a [SourcePart<'a>],
    epilogue: Epilogue<'a>,
}

impl<'a> DirectConv2d<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        source: &'a [SourcePart<'a>],
        weights: &'a PackedWeights,
        epilogue: Epilogue<'a>,
    ) -> Self {
        let layout = Layout::of_parts(plan, source);
        let phases = phase_pairs(plan)
            .map(|(rows, columns)| PhasePair::new(plan, &layout, rows, columns))
            .collect();
        Self {
            kernels: weights.kernels,
            plan,
            layout,
            phases,
            weights,
            source,
            epilogue,
        }
    }

    /// Computes all channels of some rows, counted over the whole batch, on this thread. The target
    /// begins with the pixel that so many lie before; there is no residual then.
    ///
    /// # Safety
    /// The target has room for these rows, and nobody else uses them meanwhile.
    pub(crate) unsafe fn run_all(&self, rows: Range<usize>, target: Target, before: usize) {
        self.run(rows, &self.weights.panels, target, before);
    }

    fn run(&self, block: Range<usize>, panels: &[Panel], target: Target, before: usize) {
        let strip = Strip::new(self.plan, &self.layout, self.source, block.clone());
        for (pair, phase) in self.phases.iter().enumerate() {
            let place = |pixel: usize| (pixel - before) * target.pixel;
            let (reads, writes) = self.pixels(phase, &strip, block.clone(), place);
            for (index, panel) in panels.iter().enumerate() {
                let new = index == 0 && !self.layout.copied && self.plan.is_pointwise();
                self.run_panel(pair, panel, &strip, (&reads, &writes), new, target);
            }
        }
    }

    /// Where each pixel of the block begins in the strip and, by its number, in the target.
    fn pixels(
        &self,
        phase: &PhasePair,
        strip: &Strip,
        block: Range<usize>,
        place: impl Fn(usize) -> usize,
    ) -> (Vec<usize>, Vec<usize>) {
        let plan = self.plan;
        let count = block.len() * phase.columns.count;
        let mut reads = Vec::with_capacity(count);
        let mut writes = Vec::with_capacity(count);
        for (index, (image, t)) in plan.places(block).enumerate() {
            if t >= phase.rows.count {
                continue;
            }
            let line = image * plan.rows.target + phase.rows.first + t * phase.rows.stride;
            let first = line * plan.columns.target + phase.columns.first;
            for x in 0..phase.columns.count {
                reads.push(strip.row_start(index) + x * plan.columns.step * self.layout.pixel);
                writes.push(place(first + x * phase.columns.stride));
            }
        }
        (reads, writes)
    }

    /// `new` says that the strip has not been read before.
    fn run_panel(
        &self,
        pair: usize,
        panel: &Panel,
        strip: &Strip,
        (reads, writes): (&[usize], &[usize]),
        new: bool,
        target: Target,
    ) {
        let plan = self.plan;
        let width = panel.vectors * self.kernels.lanes;
        let channel = panel.group * plan.group_target() + panel.first;
        let weights = self.weights.panel(pair, panel);
        let mut done = 0;
        let chunks = self.phases[pair].chunks(CHUNK / width);
        let few_tiles = reads.len() <= FEW_TILES * self.kernels.rows(panel.vectors);
        for (index, chunk) in chunks.iter().enumerate() {
            let depth: usize = chunk.iter().map(|segment| segment.len).sum();
            let Epilogue { bias, residual, .. } = self.epilogue;
            let first = index == 0;
            let last = index + 1 == chunks.len();
            let from_channel = |values: &[f32]| values[channel..].as_ptr();
            let bias = bias
                .filter(|_| first)
                .map_or(std::ptr::null(), from_channel);
            let residual = residual
                .filter(|_| last)
                .map_or(std::ptr::null(), from_channel);
            let bounds = if last {
                self.epilogue.bounds()
            } else {
                UNBOUNDED
            };
            for (number, tile) in
                equal_parts(reads.len(), self.kernels.rows(panel.vectors)).enumerate()
            {
                // SAFETY: the strip holds all that the segments of these pixels reach, the panel's
                // packed weights are whole registers, and these pixels and channels of the target
                // belong to this task.
                unsafe {
                    let next = reads.get(tile.end).filter(|_| new);
                    let ahead = match (few_tiles, next) {
                        // Each tile asks for its share of the next chunk of weights.
                        (true, _) => weights
                            .wrapping_add((done + depth) * width + number * depth * MAX_LANES),
                        (false, Some(&next)) => strip.start().add(next),
                        (false, None) => std::ptr::null(),
                    };
                    self.kernels.multiply(&Multiply {
                        ahead,
                        a: strip.start().add(panel.group * plan.group_source()),
                        pixels: &reads[tile.clone()],
                        segments: chunk,
                        b: weights.add(done * width),
                        c: target.start.at(channel),
                        outputs: &writes[tile.clone()],
                        bias,
                        residual,
                        bounds,
                        accumulate: !first,
                        channels: panel.channels,
                    });
                    if let Some(activation) = self.epilogue.after().filter(|_| last) {
                        let places = writes[tile].iter().copied();
                        let start = target.start.at(channel);
                        activate_rows(activation, start, places, panel.channels);
                    }
                }
            }
            done += depth;
        }
    }
}

/// `0..count` in the fewest parts of at most `most`, the longer ones first.
pub(crate) fn equal_parts(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = count.div_ceil(most).max(1);
    let len = count / parts;
    let longer = count % parts;
    (0..parts)
        .map(move |part| {
            let start = part * len + part.min(longer);
            start..start + len + usize::from(part < longer)
        })
        .filter(|part| !part.is_empty())
}
