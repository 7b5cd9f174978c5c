//! 3×3 convolution with stride 1 by Winograd's minimal filtering F(4×4, 3×3) in f32 (Lavin & Gray
//! 2015): 36 multiplications for 16 outputs instead of 144.
//!
//! A 6×6 tile of the input becomes 36 values per channel, which are multiplied by 36 matrices made
//! of the weights and become a 4×4 tile of the output. The transforms evaluate polynomials at 0,
//! ±1/√2, ±√2 and ∞: of the usual choices, those lose the least to rounding.
#![allow(unsafe_code)]

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::ops::Range;

use crate::activation::values::activate_rows;
use crate::conv2d::direct::{Epilogue, UNBOUNDED, equal_parts};
use crate::conv2d::microkernel::{Microkernels, Multiply, Segment};
use crate::conv2d::packed_weights::{PackedWeights, Panel};
use crate::conv2d::plan::{AxisPlan, Plan};
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel;
use crate::machine::scratch::Scratch;
use crate::machine::shared::{Shared, Target, filled};
use crate::machine::simd::{MAX_LANES, Simd};

/// Outputs of a tile along an axis, inputs that it reads, and matrices.
const OUT: usize = 4;
const IN: usize = 6;
const MATRICES: usize = IN * IN;
/// Floats of the transformed inputs and outputs of a task: they should stay in a core's
/// second-level cache.
const WORKSPACE: usize = 320 << 10;
/// Tiles of a task at least, so that the matrices made of the weights are read for several.
const LEAST_TILES: usize = 28;
/// Channels that a task computes at least: it transforms its inputs for them alone.
const LEAST_CHANNELS: usize = 64;

/// Whether the plan is a 3×3 convolution with stride 1 for which the detour pays; `made` says that
/// the matrices exist already.
pub(crate) fn suits(plan: &Plan, made: bool) -> bool {
    let axis = |axis: &AxisPlan| match &axis.phases[..] {
        [phase] => {
            let neighbours = phase
                .taps
                .windows(2)
                .all(|pair| pair[0].shift + 1 == pair[1].shift);
            axis.step == 1 && phase.stride == 1 && phase.taps.len() == 3 && neighbours
        }
        _ => false,
    };
    if plan.groups != 1 || !axis(&plan.rows) || !axis(&plan.columns) {
        return false;
    }
    // Cycles of one core, roughly: multiply-adds and transforms of registers, and matrices that
    // come from memory once for each task.
    let tiles = Tiles::of(plan).count();
    let pixels = plan.batch * plan.rows.target * plan.columns.target;
    let from = plan.c_source.next_multiple_of(MAX_LANES) as f64;
    let to = plan.c_target.next_multiple_of(MAX_LANES) as f64;
    let matrices = MATRICES as f64 * from * to;
    let transforms = tiles as f64 * (10. * from + 8. * to);
    let detour =
        tiles as f64 * matrices / 28. + transforms + if made { 0.6 } else { 1.6 } * matrices;
    detour < 0.9 * (pixels as f64 * 9. * plan.c_source as f64 * to / 28.)
}

/// The matrices made of the weights: `[matrix][panel][source channel][lanes of the panel]`.
pub(crate) struct Matrices {
    kernels: &'static Microkernels,
    panels: Vec<Panel>,
    _buffer: Scratch,
    start: Shared,
    /// Floats of one matrix.
    len: usize,
}

impl Matrices {
    /// Of packed weights of a plan that [`suits`].
    pub(crate) fn new(plan: &Plan, weights: &PackedWeights) -> Self {
        let kernels = weights.kernels;
        let panels = weights.panels.clone();
        let depth = plan.c_source;
        let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
        let len = vectors * kernels.lanes * depth;
        let mut buffer = Scratch::take(MATRICES * len);
        let start = Shared::new(buffer.as_mut_ptr());
        parallel::for_each(panels.len(), |index| {
            let panel = &panels[index];
            let width = panel.vectors * kernels.lanes;
            // SAFETY: each panel has its own part of each matrix.
            let to = unsafe { start.at(panel.vectors_before * kernels.lanes * depth) };
            vectorised(WeightTransform {
                from: weights.panel(0, panel),
                taps: depth * width,
                width: depth * width,
                to,
                len,
            });
        });
        Self {
            kernels,
            panels,
            _buffer: buffer,
            start,
            len,
        }
    }

    fn panel(&self, matrix: usize, panel: &Panel, depth: usize) -> *const f32 {
        // SAFETY: the buffer holds every panel of every matrix.
        unsafe {
            self.start
                .at(matrix * self.len + panel.vectors_before * self.kernels.lanes * depth)
        }
    }
}

/// Tiles of a batch, image by image and row by row.
#[derive(Clone, Copy)]
struct Tiles {
    images: usize,
    rows: usize,
    columns: usize,
}

impl Tiles {
    fn of(plan: &Plan) -> Self {
        let [rows, columns] = [&plan.rows, &plan.columns].map(|axis| axis.target.div_ceil(OUT));
        Self {
            images: plan.batch,
            rows,
            columns,
        }
    }

    fn count(self) -> usize {
        self.images * self.rows * self.columns
    }

    /// Image, and first output row and column.
    fn place(self, tile: usize) -> [usize; 3] {
        let row = tile / self.columns;
        let column = tile % self.columns;
        [row / self.rows, row % self.rows * OUT, column * OUT]
    }
}

/// The plan's target from its source.
pub(crate) fn convolve(
    plan: &Plan,
    source: &[f32],
    matrices: &Matrices,
    epilogue: Epilogue,
) -> Vec<f32> {
    let elements = plan.batch * plan.rows.target * plan.columns.target * plan.c_target;
    // SAFETY: every output is written once.
    unsafe {
        filled(elements, |start| {
            convolve_into(
                plan,
                source,
                matrices,
                epilogue,
                Target {
                    start,
                    pixel: plan.c_target,
                },
            );
        })
    }
}

/// The same, written to a place that may be wider.
///
/// # Safety
/// The target has room for the plan's, and nobody else uses these channels meanwhile.
pub(crate) unsafe fn convolve_into(
    plan: &Plan,
    source: &[f32],
    matrices: &Matrices,
    epilogue: Epilogue,
    target: Target,
) {
    let tiles = Tiles::of(plan);
    let (groups, panels_per_task) = task_size(plan, tiles, matrices.panels.len());
    let groups: Vec<Range<usize>> =
        equal_parts(tiles.count(), tiles.count().div_ceil(groups).max(1)).collect();
    let divisions = matrices.panels.len().div_ceil(panels_per_task);
    // The groups of tiles with the panels cover every output once.
    parallel::for_each(groups.len() * divisions, |task| {
        let panels = task % divisions * panels_per_task;
        let panels = &matrices.panels[panels..matrices.panels.len().min(panels + panels_per_task)];
        Task {
            plan,
            tiles,
            group: groups[task / divisions].clone(),
            panels,
            matrices,
            epilogue,
        }
        .run(source, target);
    });
}

/// Groups of tiles, and panels of one task.
fn task_size(plan: &Plan, tiles: Tiles, panels: usize) -> (usize, usize) {
    let per_tile = MATRICES * (plan.c_source + plan.c_target);
    let wanted = parallel::wanted_tasks();
    let most = (WORKSPACE / per_tile)
        .max(LEAST_TILES)
        .min(tiles.count().div_ceil(wanted).max(LEAST_TILES));
    let groups = tiles.count().div_ceil(most).max(1);
    let divisions = wanted
        .div_ceil(groups)
        .min(plan.c_target.div_ceil(LEAST_CHANNELS))
        .clamp(1, panels.max(1));
    (groups, panels.div_ceil(divisions).max(1))
}

/// Some tiles for some panels of channels.
struct Task<'a> {
    plan: &'a Plan,
    tiles: Tiles,
    group: Range<usize>,
    panels: &'a [Panel],
    matrices: &'a Matrices,
    epilogue: Epilogue<'a>,
}

/// Where the values of a task's tiles lie: `[matrix][tile][channel]`.
#[derive(Clone, Copy)]
struct Places {
    /// Floats between neighbouring tiles and matrices: whole cache lines, an odd number of them, so
    /// that they do not all fall into the same set.
    tile: usize,
    matrix: usize,
}

impl Places {
    fn new(tiles: usize, channels: usize) -> Self {
        let odd_lines = |floats: usize| (floats.div_ceil(MAX_LANES) | 1) * MAX_LANES;
        let tile = if channels.is_multiple_of(1024) {
            odd_lines(channels)
        } else {
            channels.next_multiple_of(MAX_LANES)
        };
        Self {
            tile,
            matrix: odd_lines(tiles * tile),
        }
    }
}

impl Task<'_> {
    fn run(self, source: &[f32], target: Target) {
        let plan = self.plan;
        let kernels = self.matrices.kernels;
        let Some((first, last)) = self.panels.first().zip(self.panels.last()) else {
            return;
        };
        let channels = last.first + last.channels - first.first;
        let inputs = Places::new(self.group.len(), plan.c_source);
        let outputs = Places::new(self.group.len(), channels);
        let mut buffer =
            Scratch::take(MATRICES * (inputs.matrix + outputs.matrix) + plan.c_source + MAX_LANES);
        let values = buffer.as_mut_ptr();
        // SAFETY: the buffer has room for the inputs, the outputs and a pixel of zeros.
        let (sums, zeros) = unsafe {
            let sums = values.add(MATRICES * inputs.matrix);
            let zeros = sums.add(MATRICES * outputs.matrix);
            zeros.write_bytes(0, plan.c_source);
            (sums, zeros)
        };
        vectorised(InputTransform {
            task: &self,
            source,
            zeros,
            places: inputs,
            to: values,
        });
        let segments = [Segment {
            offset: 0,
            len: plan.c_source,
        }];
        let reads: Vec<usize> = (0..self.group.len())
            .map(|tile| tile * inputs.tile)
            .collect();
        let writes: Vec<usize> = (0..self.group.len())
            .map(|tile| tile * outputs.tile)
            .collect();
        for matrix in 0..MATRICES {
            for panel in self.panels {
                let weights = self.matrices.panel(matrix, panel, plan.c_source);
                let next = weights.wrapping_add(panel.vectors * kernels.lanes * plan.c_source);
                for (number, tile) in
                    equal_parts(reads.len(), kernels.rows(panel.vectors)).enumerate()
                {
                    // SAFETY: all places lie in the buffer, the panel's weights are whole
                    // registers.
                    unsafe {
                        kernels.multiply(&Multiply {
                            a: values.add(matrix * inputs.matrix),
                            pixels: &reads[tile.clone()],
                            segments: &segments,
                            b: weights,
                            c: sums.add(matrix * outputs.matrix + panel.first - first.first),
                            outputs: &writes[tile],
                            bias: std::ptr::null(),
                            residual: std::ptr::null(),
                            bounds: UNBOUNDED,
                            accumulate: false,
                            // Whole registers, so that the output transform finds zeros behind the
                            // last channel.
                            channels: panel.vectors * kernels.lanes,
                            ahead: next.wrapping_add(number * plan.c_source * MAX_LANES),
                        });
                    }
                }
            }
        }
        vectorised(OutputTransform {
            task: &self,
            first: first.first,
            channels,
            places: outputs,
            from: sums,
            target,
        });
        if let Some(activation) = self.epilogue.after() {
            let places = self.outputs(target.pixel);
            // SAFETY: these outputs belong to this task, and are written.
            unsafe {
                let start = target.start.at(first.first);
                activate_rows(activation, start, places.into_iter(), channels);
            }
        }
    }

    /// Where each pixel of the task's tiles begins in a target of pixels `pixel` floats apart.
    fn outputs(&self, pixel: usize) -> Vec<usize> {
        let plan = self.plan;
        let of_tile = |tile: usize| {
            let [image, row, column] = self.tiles.place(tile);
            let rows = row..plan.rows.target.min(row + OUT);
            let columns = column..plan.columns.target.min(column + OUT);
            rows.flat_map(move |row| {
                let line = (image * plan.rows.target + row) * plan.columns.target;
                columns.clone().map(move |column| (line + column) * pixel)
            })
        };
        self.group.clone().flat_map(of_tile).collect()
    }
}

/// Pixels of a tile that lie within an axis: those `first..` of `size`, as a function of the place
/// in the tile.
fn inside(first: isize, place: usize, size: usize) -> Option<usize> {
    usize::try_from(first + place as isize)
        .ok()
        .filter(|&position| position < size)
}

struct InputTransform<'a> {
    task: &'a Task<'a>,
    source: &'a [f32],
    /// As many as source channels.
    zeros: *const f32,
    places: Places,
    to: *mut f32,
}

impl Loop for InputTransform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let plan = self.task.plan;
        let channels = self.task.plan.c_source;
        let [first_row, first_column] =
            [&plan.rows, &plan.columns].map(|axis| axis.phases[0].taps[0].shift);
        let mut pixels = [self.zeros; MATRICES];
        for (number, tile) in self.task.group.clone().enumerate() {
            let [image, row, column] = self.task.tiles.place(tile);
            for (place, pixel) in pixels.iter_mut().enumerate() {
                let row = inside(row as isize + first_row, place / IN, plan.rows.source);
                let column = inside(
                    column as isize + first_column,
                    place % IN,
                    plan.columns.source,
                );
                *pixel = match row.zip(column) {
                    Some((row, column)) => {
                        let pixel = (image * plan.rows.source + row) * plan.columns.source + column;
                        self.source[pixel * channels..].as_ptr()
                    }
                    None => self.zeros,
                };
            }
            let mut channel = 0;
            // SAFETY: the pixels have as many values as channels, and each tile's place is its own.
            unsafe {
                let to = self.to.add(number * self.places.tile);
                while channel + S::LANES <= channels {
                    input_tile::<S, true>(
                        &pixels,
                        channel,
                        S::LANES,
                        to.add(channel),
                        self.places.matrix,
                    );
                    channel += S::LANES;
                }
                if channel < channels {
                    input_tile::<S, false>(
                        &pixels,
                        channel,
                        channels - channel,
                        to.add(channel),
                        self.places.matrix,
                    );
                }
            }
        }
    }
}

/// # Safety
/// Each pixel has `count` values at `channel`; `to` is valid for a register at each multiple of
/// `step`.
#[inline(always)]
unsafe fn input_tile<S: Simd, const FULL: bool>(
    pixels: &[*const f32; MATRICES],
    channel: usize,
    count: usize,
    to: *mut f32,
    step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut rows = [[S::splat(0.); IN]; IN];
        for (place, row) in rows.iter_mut().enumerate() {
            let load = |column: usize| {
                let from = pixels[place * IN + column].add(channel);
                if FULL {
                    S::load(from)
                } else {
                    S::load_first(from, count)
                }
            };
            *row = input_line([load(0), load(1), load(2), load(3), load(4), load(5)]);
        }
        #[expect(clippy::needless_range_loop, reason = "a column of an array of rows")]
        for column in 0..IN {
            let line = input_line([0, 1, 2, 3, 4, 5].map(|row: usize| rows[row][column]));
            for (row, value) in line.into_iter().enumerate() {
                value.store(to.add((row * IN + column) * step));
            }
        }
    }
}

/// The polynomial with these coefficients at the points, times what makes the transform an
/// identity.
#[inline(always)]
unsafe fn input_line<S: Simd>([d0, d1, d2, d3, d4, d5]: [S; IN]) -> [S; IN] {
    // SAFETY: `S` is what the caller is compiled for.
    unsafe {
        let times = |value: S, factor: f32| S::splat(0.).add_product(value, S::splat(factor));
        let plus = |sum: S, value: S, factor: f32| sum.add_product(value, S::splat(factor));
        let near_even = plus(d4, d2, -2.);
        let near_odd = plus(times(d3, FRAC_1_SQRT_2), d1, -SQRT_2);
        let far_even = plus(d4, d2, -0.5);
        let far_odd = plus(times(d3, SQRT_2), d1, -FRAC_1_SQRT_2);
        [
            plus(d0.add(d4), d2, -2.5),
            near_even.add(near_odd),
            plus(near_even, near_odd, -1.),
            far_even.add(far_odd),
            plus(far_even, far_odd, -1.),
            plus(d1.add(d5), d3, -2.5),
        ]
    }
}

struct WeightTransform {
    /// `[tap][channel][lanes]`, `taps` floats between neighbouring taps.
    from: *const f32,
    taps: usize,
    /// Floats of all channels.
    width: usize,
    /// `[matrix]`, `len` floats apart.
    to: *mut f32,
    len: usize,
}

impl Loop for WeightTransform {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for place in (0..self.width).step_by(S::LANES) {
            // SAFETY: the panel has whole registers for each tap, and its part of each matrix as
            // many.
            unsafe {
                let tap = |row: usize, column: usize| {
                    S::load(self.from.add((3 * row + column) * self.taps + place))
                };
                let mut rows = [[S::splat(0.); IN]; 3];
                for (index, row) in rows.iter_mut().enumerate() {
                    *row = weight_line([tap(index, 0), tap(index, 1), tap(index, 2)]);
                }
                #[expect(clippy::needless_range_loop, reason = "a column of an array of rows")]
                for column in 0..IN {
                    let line = weight_line([0, 1, 2].map(|row: usize| rows[row][column]));
                    for (row, value) in line.into_iter().enumerate() {
                        value.store(self.to.add((row * IN + column) * self.len + place));
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn weight_line<S: Simd>([g0, g1, g2]: [S; 3]) -> [S; IN] {
    // SAFETY: `S` is what the caller is compiled for.
    unsafe {
        let times = |value: S, factor: f32| S::splat(0.).add_product(value, S::splat(factor));
        let plus = |sum: S, value: S, factor: f32| sum.add_product(value, S::splat(factor));
        let near_even = plus(times(g0, -2. / 3.), g2, -1. / 3.);
        let near_odd = times(g1, -SQRT_2 / 3.);
        let far_even = plus(times(g0, 1. / 6.), g2, 1. / 3.);
        let far_odd = times(g1, SQRT_2 / 6.);
        [
            g0,
            near_even.add(near_odd),
            plus(near_even, near_odd, -1.),
            far_even.add(far_odd),
            plus(far_even, far_odd, -1.),
            g2,
        ]
    }
}

struct OutputTransform<'a> {
    task: &'a Task<'a>,
    /// The first channel of the task, and how many.
    first: usize,
    channels: usize,
    places: Places,
    from: *const f32,
    target: Target,
}

impl Loop for OutputTransform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let plan = self.task.plan;
        for (number, tile) in self.task.group.clone().enumerate() {
            let [image, row, column] = self.task.tiles.place(tile);
            let rows = OUT.min(plan.rows.target - row);
            let columns = OUT.min(plan.columns.target - column);
            let pixel = (image * plan.rows.target + row) * plan.columns.target + column;
            let mut channel = 0;
            let start = pixel * self.target.pixel + self.first;
            // SAFETY: the tile's place is in the buffer, and its outputs belong to this task.
            unsafe {
                let from = self.from.add(number * self.places.tile);
                while channel < self.channels {
                    let count = S::LANES.min(self.channels - channel);
                    let place = (start + channel, self.first + channel, count);
                    if count == S::LANES {
                        self.tile::<S, true>(from.add(channel), place, [rows, columns]);
                    } else {
                        self.tile::<S, false>(from.add(channel), place, [rows, columns]);
                    }
                    channel += count;
                }
            }
        }
    }
}

impl OutputTransform<'_> {
    /// Writes `rows` × `columns` pixels of a register of channels; the first value lies at `start`
    /// of the target.
    ///
    /// # Safety
    /// `from` has a register for each matrix; the outputs belong to this task.
    #[inline(always)]
    unsafe fn tile<S: Simd, const FULL: bool>(
        &self,
        from: *const f32,
        (start, channel, count): (usize, usize, usize),
        [rows, columns]: [usize; 2],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let load = |from: *const f32| {
                if FULL {
                    S::load(from)
                } else {
                    S::load_first(from, count)
                }
            };
            let mut lines = [[S::splat(0.); IN]; OUT];
            #[expect(clippy::needless_range_loop, reason = "a column of an array of rows")]
            for column in 0..IN {
                let value =
                    |row: usize| S::load(from.add((row * IN + column) * self.places.matrix));
                let line =
                    output_line([value(0), value(1), value(2), value(3), value(4), value(5)]);
                for (row, value) in line.into_iter().enumerate() {
                    lines[row][column] = value;
                }
            }
            let Epilogue { bias, residual, .. } = self.task.epilogue;
            let bias = bias.map_or(S::splat(0.), |bias| load(bias[channel..].as_ptr()));
            let bounds = self.task.epilogue.bounds();
            let [low, high] = bounds.map(|bound| S::splat(bound));
            let plan = self.task.plan;
            for (row, line) in lines.iter().enumerate().take(rows) {
                let line = output_line(*line);
                for (column, &sum) in line.iter().enumerate().take(columns) {
                    let place = start + (row * plan.columns.target + column) * self.target.pixel;
                    let mut sum = sum.add(bias);
                    if let Some(residual) = residual {
                        sum = sum.add(load(residual[place..].as_ptr()));
                    }
                    let sum = sum.within(low, high);
                    let to = self.target.start.at(place);
                    if FULL {
                        sum.store(to)
                    } else {
                        sum.store_first(to, count)
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn output_line<S: Simd>([m0, m1, m2, m3, m4, m5]: [S; IN]) -> [S; OUT] {
    // SAFETY: `S` is what the caller is compiled for.
    unsafe {
        let times = |value: S, factor: f32| S::splat(0.).add_product(value, S::splat(factor));
        let plus = |sum: S, value: S, factor: f32| sum.add_product(value, S::splat(factor));
        let near = m1.add(m2);
        let far = m3.add(m4);
        let near_odd = plus(m1, m2, -1.);
        let far_odd = plus(m3, m4, -1.);
        [
            m0.add(near).add(far),
            plus(times(near_odd, FRAC_1_SQRT_2), far_odd, SQRT_2),
            plus(times(near, 0.5), far, 2.),
            plus(plus(m5, near_odd, SQRT_2 / 4.), far_odd, 2. * SQRT_2),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::conv2d::Convolution;
    use crate::conv2d::direct;
    use crate::{Activation, Conv2dSpec, Padding};

    fn numbers(len: usize, seed: u32) -> Vec<f32> {
        let value = |i: u32| {
            (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 2f32.powi(23) - 1.
        };
        (0..len as u32).map(value).collect()
    }

    fn plan(xs: [usize; 4], c_out: usize, padding: Padding) -> Convolution {
        let spec = Conv2dSpec {
            padding,
            ..Conv2dSpec::default()
        };
        Convolution::new(xs, &[c_out, xs[3], 3, 3], None, &spec).unwrap()
    }

    /// Whether it suits or not: borders, tiles that are cut, channels that fill no register,
    /// several tasks, both directions.
    #[test]
    fn it_computes_what_the_direct_way_does() {
        let cases = [
            ([1, 4, 4, 1], 1, Padding::all(1)),
            ([2, 7, 9, 3], 5, Padding::all(1)),
            ([1, 3, 3, 16], 16, Padding::Valid),
            ([1, 14, 11, 33], 29, Padding::Valid),
            ([3, 13, 17, 40], 72, Padding::all(2)),
            ([2, 8, 5, 20], 150, Padding::symmetric(0, 1)),
            ([1, 30, 31, 64], 96, Padding::Same),
            ([0, 6, 6, 4], 4, Padding::all(1)),
        ];
        for (xs, c_out, padding) in cases {
            let conv = plan(xs, c_out, padding);
            let weight = numbers(c_out * xs[3] * 9, 1);
            for plan in [Plan::forward(&conv), Plan::backward(&conv)] {
                let [source, target] = [
                    (&plan.rows.source, &plan.columns.source, plan.c_source),
                    (&plan.rows.target, &plan.columns.target, plan.c_target),
                ]
                .map(|(rows, columns, channels)| plan.batch * rows * columns * channels);
                let source = numbers(source, 2);
                let bias = numbers(plan.c_target, 3);
                let residual = numbers(target, 4);
                for activation in [Activation::Relu6, Activation::Silu] {
                    let epilogue = Epilogue {
                        bias: Some(&bias),
                        residual: Some(&residual),
                        activation,
                    };
                    let weights = PackedWeights::new(&plan, &weight);
                    let expected = direct::convolve(&plan, &source, &weights, epilogue);
                    let found = convolve(&plan, &source, &Matrices::new(&plan, &weights), epilogue);
                    assert_eq!(found.len(), expected.len());
                    let scale = (9. * plan.c_source as f32).sqrt();
                    for (found, expected) in found.iter().zip(&expected) {
                        assert!(
                            (found - expected).abs() < 4e-6 * scale,
                            "{xs:?}: {found} for {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn it_suits_what_networks_repeat_and_nothing_else() {
        let forward = |xs, c_out, padding| Plan::forward(&plan(xs, c_out, padding));
        assert!(suits(&forward([8, 56, 56, 64], 64, Padding::all(1)), false));
        assert!(suits(
            &forward([1, 28, 28, 128], 128, Padding::all(1)),
            true
        ));
        // Too few tiles for the matrices, and a larger kernel.
        assert!(!suits(&forward([1, 7, 7, 512], 512, Padding::all(1)), true));
        let spec = Conv2dSpec {
            padding: Padding::all(1),
            stride: [2, 2],
            ..Conv2dSpec::default()
        };
        let strided = Convolution::new([8, 56, 56, 64], &[64, 64, 3, 3], None, &spec).unwrap();
        assert!(!suits(&Plan::forward(&strided), true) && !suits(&Plan::backward(&strided), true));
        let spec = Conv2dSpec {
            padding: Padding::all(2),
            dilation: [2, 2],
            ..Conv2dSpec::default()
        };
        let dilated = Convolution::new([8, 56, 56, 64], &[64, 64, 3, 3], None, &spec).unwrap();
        assert!(!suits(&Plan::forward(&dilated), true));
    }
}
