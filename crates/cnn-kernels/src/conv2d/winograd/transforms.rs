//! What tiles of the input, the weights and the products become.
#![allow(unsafe_code)]

use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};
use std::ops::Range;

use super::{IN, MATRICES, OUT, Places, Task, TileGroup};
use crate::conv2d::direct::Epilogue;
use crate::conv2d::joined::SourcePart;
use crate::machine::isa::Loop;
use crate::machine::shared::Target;
use crate::machine::simd::Simd;

/// Pixels of a tile that lie within an axis: those `first..` of `size`, as a function of the place
/// in the tile.
fn inside(first: isize, place: usize, size: usize) -> Option<usize> {
    usize::try_from(first + place as isize)
        .ok()
        .filter(|&position| position < size)
}

pub(super) struct InputTransform<'a> {
    pub(super) tiles: &'a TileGroup<'a>,
    pub(super) source: &'a [SourcePart<'a>],
    /// The channels of each part that are wanted; all of them, where there are several.
    pub(super) channels: Range<usize>,
    /// As many as source channels.
    pub(super) zeros: *const f32,
    pub(super) places: Places,
    pub(super) to: *mut f32,
}

impl Loop for InputTransform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (number, tile) in self.tiles.group.clone().enumerate() {
            // SAFETY: each tile's place is its own and has room for the channels of all parts.
            unsafe {
                let mut to = self.to.add(number * self.places.tile);
                for part in self.source {
                    let channels = self.channels.start..self.channels.end.min(part.channels);
                    let count = channels.len();
                    self.tile_of_part::<S>(tile, part, channels, to);
                    to = to.add(count);
                }
            }
        }
    }
}

impl InputTransform<'_> {
    /// # Safety
    /// `to` is valid for these channels of the part.
    #[inline(always)]
    unsafe fn tile_of_part<S: Simd>(
        &self,
        tile: usize,
        part: &SourcePart,
        channels: Range<usize>,
        to: *mut f32,
    ) {
        let TileGroup { plan, tiles, .. } = self.tiles;
        let [first_row, first_column] =
            [&plan.rows, &plan.columns].map(|axis| axis.phases[0].taps[0].shift);
        let [image, row, column] = tiles.place(tile);
        let mut pixels = [self.zeros; MATRICES];
        for (place, pixel) in pixels.iter_mut().enumerate() {
            let row = inside(row as isize + first_row, place / IN, plan.rows.source);
            let column = inside(
                column as isize + first_column,
                place % IN,
                plan.columns.source,
            );
            *pixel = match row.zip(column) {
                Some((row, column)) => part.pixel(image, row, column)[channels.start..].as_ptr(),
                None => self.zeros,
            };
        }
        let step = self.places.matrix;
        let mut channel = 0;
        // SAFETY: the pixels have as many values as the part has channels; the rest is the caller's
        // promise.
        unsafe {
            while channel + S::LANES <= channels.len() {
                input_tile::<S, true>(&pixels, channel, S::LANES, to.add(channel), step);
                channel += S::LANES;
            }
            if channel < channels.len() {
                let count = channels.len() - channel;
                input_tile::<S, false>(&pixels, channel, count, to.add(channel), step);
            }
        }
    }
}

/// # Safety
/// Each pixel has `count` values at `channel`; `to` is valid for as many at each multiple of `step`.
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
                let to = to.add((row * IN + column) * step);
                if FULL {
                    value.store(to);
                } else {
                    value.store_first(to, count);
                }
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

pub(super) struct WeightTransform {
    /// `[tap][channel][lanes]`, `taps` floats between neighbouring taps.
    pub(super) from: *const f32,
    pub(super) taps: usize,
    /// Floats of all channels.
    pub(super) width: usize,
    /// `[matrix]`, `len` floats apart.
    pub(super) to: *mut f32,
    pub(super) len: usize,
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

pub(super) struct OutputTransform<'a> {
    pub(super) task: &'a Task<'a>,
    /// The first channel of the task, and how many.
    pub(super) first: usize,
    pub(super) channels: usize,
    pub(super) places: Places,
    pub(super) from: *const f32,
    pub(super) target: Target,
}

impl Loop for OutputTransform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let TileGroup { plan, tiles, group } = &self.task.tiles;
        for (number, tile) in group.clone().enumerate() {
            let [image, row, column] = tiles.place(tile);
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
            let plan = self.task.tiles.plan;
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

/// Tiles of the gradient by the outputs, as the output transform's transpose sees them.
pub(super) struct GradTransform<'a> {
    pub(super) tiles: &'a TileGroup<'a>,
    pub(super) grad: &'a [f32],
    pub(super) channels: Range<usize>,
    pub(super) places: Places,
    /// Room for whole registers of channels.
    pub(super) to: *mut f32,
}

impl Loop for GradTransform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let TileGroup { plan, tiles, group } = self.tiles;
        for (number, tile) in group.clone().enumerate() {
            let [image, row, column] = tiles.place(tile);
            let rows = OUT.min(plan.rows.target - row);
            let columns = OUT.min(plan.columns.target - column);
            let pixel = (image * plan.rows.target + row) * plan.columns.target + column;
            for lane in (0..self.channels.len()).step_by(S::LANES) {
                let count = S::LANES.min(self.channels.len() - lane);
                let start = pixel * plan.c_target + self.channels.start + lane;
                // SAFETY: the pixels of the tile lie in the gradient, the tile's place in the
                // buffer.
                unsafe {
                    let to = self.to.add(number * self.places.tile + lane);
                    if count == S::LANES {
                        self.tile::<S, true>(start, [rows, columns], count, to);
                    } else {
                        self.tile::<S, false>(start, [rows, columns], count, to);
                    }
                }
            }
        }
    }
}

impl GradTransform<'_> {
    /// A register of channels of `rows` × `columns` pixels; what is beyond them is zero.
    ///
    /// # Safety
    /// The pixels have `count` values from `start` on; `to` is valid for a register at each multiple
    /// of the matrices' distance.
    #[inline(always)]
    unsafe fn tile<S: Simd, const FULL: bool>(
        &self,
        start: usize,
        [rows, columns]: [usize; 2],
        count: usize,
        to: *mut f32,
    ) {
        let plan = self.tiles.plan;
        // SAFETY: the caller's promise.
        unsafe {
            let mut lines = [[S::splat(0.); IN]; OUT];
            for (row, line) in lines.iter_mut().enumerate().take(rows) {
                let mut pixels = [S::splat(0.); OUT];
                for (column, pixel) in pixels.iter_mut().enumerate().take(columns) {
                    let place = start + (row * plan.columns.target + column) * plan.c_target;
                    let from = self.grad[place..].as_ptr();
                    *pixel = if FULL {
                        S::load(from)
                    } else {
                        S::load_first(from, count)
                    };
                }
                *line = grad_line(pixels);
            }
            #[expect(clippy::needless_range_loop, reason = "a column of an array of rows")]
            for column in 0..IN {
                let line = grad_line([0, 1, 2, 3].map(|row: usize| lines[row][column]));
                for (row, value) in line.into_iter().enumerate() {
                    value.store(to.add((row * IN + column) * self.places.matrix));
                }
            }
        }
    }
}

/// The transpose of [`output_line`].
#[inline(always)]
unsafe fn grad_line<S: Simd>([y0, y1, y2, y3]: [S; OUT]) -> [S; IN] {
    // SAFETY: `S` is what the caller is compiled for.
    unsafe {
        let times = |value: S, factor: f32| S::splat(0.).add_product(value, S::splat(factor));
        let plus = |sum: S, value: S, factor: f32| sum.add_product(value, S::splat(factor));
        let near_even = plus(y0, y2, 0.5);
        let near_odd = plus(times(y1, FRAC_1_SQRT_2), y3, SQRT_2 / 4.);
        let far_even = plus(y0, y2, 2.);
        let far_odd = plus(times(y1, SQRT_2), y3, 2. * SQRT_2);
        [
            y0,
            near_even.add(near_odd),
            plus(near_even, near_odd, -1.),
            far_even.add(far_odd),
            plus(far_even, far_odd, -1.),
            y3,
        ]
    }
}

/// Sums of products become gradients of the nine taps: the weight transform's transpose.
pub(super) struct TapTransform {
    /// `[matrix]`, `len` floats apart, of `width` floats.
    pub(super) from: *const f32,
    pub(super) len: usize,
    /// Floats of all channels: whole registers.
    pub(super) width: usize,
    /// `[tap]`, `taps` floats apart.
    pub(super) to: *mut f32,
    pub(super) taps: usize,
}

impl Loop for TapTransform {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for place in (0..self.width).step_by(S::LANES) {
            // SAFETY: each matrix has whole registers of sums, and each tap as many.
            unsafe {
                let sum = |row: usize, column: usize| {
                    S::load(self.from.add((row * IN + column) * self.len + place))
                };
                let mut lines = [[S::splat(0.); 3]; IN];
                for (row, line) in lines.iter_mut().enumerate() {
                    let values = [0, 1, 2, 3, 4, 5].map(|column: usize| sum(row, column));
                    *line = tap_line(values);
                }
                #[expect(clippy::needless_range_loop, reason = "a column of an array of rows")]
                for column in 0..3 {
                    let values = [0, 1, 2, 3, 4, 5].map(|row: usize| lines[row][column]);
                    for (row, value) in tap_line(values).into_iter().enumerate() {
                        value.store(self.to.add((3 * row + column) * self.taps + place));
                    }
                }
            }
        }
    }
}

/// The transpose of [`weight_line`].
#[inline(always)]
unsafe fn tap_line<S: Simd>([w0, w1, w2, w3, w4, w5]: [S; IN]) -> [S; 3] {
    // SAFETY: `S` is what the caller is compiled for.
    unsafe {
        let times = |value: S, factor: f32| S::splat(0.).add_product(value, S::splat(factor));
        let plus = |sum: S, value: S, factor: f32| sum.add_product(value, S::splat(factor));
        let near = w1.add(w2);
        let far = w3.add(w4);
        let near_odd = plus(w1, w2, -1.);
        let far_odd = plus(w3, w4, -1.);
        [
            plus(plus(w0, near, -2. / 3.), far, 1. / 6.),
            plus(times(near_odd, -SQRT_2 / 3.), far_odd, SQRT_2 / 6.),
            plus(plus(w5, near, -1. / 3.), far, 1. / 3.),
        ]
    }
}
