//! Pooling, adaptive and global pooling, and nearest upsampling: one kernel that reduces the taps of separable windows.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::Result;

use crate::element::Element;
use crate::error::{Checked, Error};
use crate::geometry::Axis;
use crate::gradient::Gradient;
use crate::isa::{Loop, vectorised};
use crate::kernel::{Kernel, Saved, apply};
use crate::recycle::Buffer;
use crate::register::{load, store};
use crate::shared::filled_chunks;
use crate::simd::Simd;
use crate::{FeatureMap, Padding, Window};

/// Max-pooling: the largest value under the window; padding never wins. The gradient goes to the first of equal values, as in
/// PyTorch; NaN wins over every number.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H', W', C)` with the size rule of [`Window::place`].
///
/// # Errors
/// If the window does not fit, or padding exceeds half of the (dilated) window: such a window could see nothing but padding.
pub fn max_pool(xs: &FeatureMap, window: &Window) -> Result<FeatureMap> {
    let [rows, columns] = windows("max_pool", xs, window)?;
    pool(xs, rows, columns, Reduce::Max)
}

/// Average pooling. With `count_include_pad` (PyTorch's default) zeros of the padding count in the divisor, otherwise only the
/// values inside the input do.
///
/// # Shapes
/// As [`max_pool`].
///
/// # Errors
/// As [`max_pool`].
pub fn avg_pool(xs: &FeatureMap, window: &Window, count_include_pad: bool) -> Result<FeatureMap> {
    let [mut rows, mut columns] = windows("avg_pool", xs, window)?;
    if !count_include_pad {
        rows.iter_mut().chain(columns.iter_mut()).for_each(|taps| taps.divisor = taps.count);
    }
    pool(xs, rows, columns, Reduce::Mean)
}

/// Average over windows that divide the input into `output` = `[rows, columns]` bins: bin `i` covers `⌊i·H/rows⌋` up to
/// `⌈(i+1)·H/rows⌉`, as PyTorch's `AdaptiveAvgPool2d`.
///
/// # Errors
/// If a number is zero.
pub fn adaptive_avg_pool(xs: &FeatureMap, output: [usize; 2]) -> Result<FeatureMap> {
    let [rows, columns] = bins("adaptive_avg_pool", xs, output)?;
    pool(xs, rows, columns, Reduce::Mean)
}

/// Maximum over the bins of [`adaptive_avg_pool`].
///
/// # Errors
/// If a number is zero.
pub fn adaptive_max_pool(xs: &FeatureMap, output: [usize; 2]) -> Result<FeatureMap> {
    let [rows, columns] = bins("adaptive_max_pool", xs, output)?;
    pool(xs, rows, columns, Reduce::Max)
}

/// Mean over each whole map: `(N, H, W, C)` to `(N, 1, 1, C)`.
///
/// # Errors
/// If the maps are empty.
pub fn global_avg_pool(xs: &FeatureMap) -> Result<FeatureMap> {
    adaptive_avg_pool(xs, [1, 1])
}

/// Maximum over each whole map: `(N, H, W, C)` to `(N, 1, 1, C)`.
///
/// # Errors
/// If the maps are empty.
pub fn global_max_pool(xs: &FeatureMap) -> Result<FeatureMap> {
    adaptive_max_pool(xs, [1, 1])
}

/// Nearest-neighbour resizing to `[height, width]`: output `i` reads input `⌊i · H / height⌋`, in f32 arithmetic as PyTorch's
/// `interpolate(mode="nearest")` does.
///
/// # Errors
/// If a number is zero.
pub fn upsample_nearest(xs: &FeatureMap, size: [usize; 2]) -> Result<FeatureMap> {
    let input = check_sizes("upsample_nearest", xs, size)?;
    let axis = |index: usize| {
        let scale = input[index] as f32 / size[index] as f32;
        let source = move |i: usize| ((i as f32 * scale) as usize).min(input[index] - 1);
        (0..size[index]).map(|i| Taps { start: source(i), step: 1, count: 1, divisor: 1 }).collect()
    };
    pool(xs, axis(0), axis(1), Reduce::Mean)
}

/// The inputs that one output reads along one axis.
#[derive(Debug, Clone, Copy)]
struct Taps {
    start: usize,
    step: usize,
    count: usize,
    /// What a mean divides by along this axis; more than `count` where zeros of the padding take part.
    divisor: usize,
}

fn windows(op: &'static str, xs: &FeatureMap, window: &Window) -> Checked<[Vec<Taps>; 2]> {
    let geometry = window.place(op, [xs.height(), xs.width()])?;
    for (axis, what) in [(geometry.rows, "padding of the rows"), (geometry.columns, "padding of the columns")] {
        let extent = axis.dilation * (axis.kernel - 1) + 1;
        let padding = axis.before.max(axis.after);
        if padding > extent / 2 && window.padding != Padding::Same {
            let expected = format!("at most {}, half of the window's extent {extent}", extent / 2);
            return Err(Error::Argument { op, what, found: padding.to_string(), expected });
        }
    }
    Ok([taps(&geometry.rows), taps(&geometry.columns)])
}

fn taps(axis: &Axis) -> Vec<Taps> {
    let within_padding = |i: usize| {
        (0..axis.kernel)
            .filter(|tap| i * axis.stride + tap * axis.dilation < axis.before + axis.input + axis.after)
            .count()
    };
    (0..axis.output)
        .map(|i| {
            let inside = axis.taps_inside(i);
            Taps {
                start: axis.source(i, inside.start).unwrap_or(0),
                step: axis.dilation,
                count: inside.len(),
                divisor: within_padding(i),
            }
        })
        .collect()
}

fn bins(op: &'static str, xs: &FeatureMap, output: [usize; 2]) -> Checked<[Vec<Taps>; 2]> {
    let input = check_sizes(op, xs, output)?;
    Ok([0, 1].map(|axis| {
        let (input, output) = (input[axis], output[axis]);
        let bin = |i: usize| (i * input / output, ((i + 1) * input).div_ceil(output));
        (0..output)
            .map(bin)
            .map(|(start, end)| Taps { start, step: 1, count: end - start, divisor: end - start })
            .collect()
    }))
}

fn check_sizes(op: &'static str, xs: &FeatureMap, output: [usize; 2]) -> Checked<[usize; 2]> {
    const LARGEST: usize = 1 << 20;
    let input = [xs.height(), xs.width()];
    for (what, size) in
        [("output size", output[0]), ("output size", output[1]), ("input size", input[0]), ("input size", input[1])]
    {
        if size == 0 || size > LARGEST {
            let expected = format!("1 to {LARGEST}");
            return Err(Error::Argument { op, what, found: size.to_string(), expected });
        }
    }
    Ok(input)
}

fn pool(xs: &FeatureMap, rows: Vec<Taps>, columns: Vec<Taps>, reduce: Reduce) -> Result<FeatureMap> {
    let keeps_places = reduce == Reduce::Max && xs.node().is_some();
    let kernel = Pool { input: xs.dims(), rows, columns, reduce, keeps_places, places: OnceLock::new() };
    apply(kernel, &[xs], &[])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduce {
    Max,
    Mean,
}

struct Pool {
    input: [usize; 4],
    rows: Vec<Taps>,
    columns: Vec<Taps>,
    reduce: Reduce,
    /// Whether the forward pass of a maximum sets `places`.
    keeps_places: bool,
    places: OnceLock<Places>,
}

/// Which tap of its window each maximum comes from, numbered in row order.
enum Places {
    Few(Vec<u8>),
    Many(Vec<u32>),
}

/// The number of a tap.
trait Place: Copy + Eq + Send + Sync {
    fn new(tap: usize) -> Self;
    fn places(all: Vec<Self>) -> Places;
}

impl Place for u8 {
    fn new(tap: usize) -> Self {
        tap as u8
    }
    fn places(all: Vec<Self>) -> Places {
        Places::Few(all)
    }
}

impl Place for u32 {
    fn new(tap: usize) -> Self {
        tap as u32
    }
    fn places(all: Vec<Self>) -> Places {
        Places::Many(all)
    }
}

/// The start of the places, which tasks write through, each its own part.
struct Start<P>(*mut P);

// SAFETY: whoever writes through it promises to be the only one at that place.
unsafe impl<P: Send> Sync for Start<P> {}

impl<P> Start<P> {
    /// # Safety
    /// The elements lie in the buffer, and nobody else uses them.
    #[expect(clippy::mut_from_ref, reason = "the caller's promise")]
    unsafe fn part(&self, first: usize, len: usize) -> &mut [MaybeUninit<P>] {
        // SAFETY: the caller's promise; the elements may be uninitialised.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(first).cast(), len) }
    }
}

/// One input position under a window: of which output, and which tap of its window.
#[derive(Debug, Clone, Copy)]
struct Cover {
    output: usize,
    tap: usize,
}

/// The windows over each position of an axis, ascending.
fn covers(taps: &[Taps], input: usize) -> Vec<Vec<Cover>> {
    let mut covers = vec![Vec::new(); input];
    for (output, taps) in taps.iter().enumerate() {
        (0..taps.count).for_each(|tap| covers[taps.start + tap * taps.step].push(Cover { output, tap }));
    }
    covers
}

impl Pool {
    /// Offsets into the image of the pixels under the window of output `(y, x)`, in row order.
    #[inline(always)]
    fn pixels(&self, y: usize, x: usize) -> impl Iterator<Item = usize> {
        let (rows, columns) = (self.rows[y], self.columns[x]);
        let [_, _, width, channels] = self.input;
        (0..rows.count).flat_map(move |i| {
            let row = rows.start + i * rows.step;
            (0..columns.count).map(move |j| (row * width + columns.start + j * columns.step) * channels)
        })
    }

    /// Rows that the outputs of row `y + 1` read and those before do not, if windows have no holes.
    fn rows_ahead(&self, y: usize) -> Range<usize> {
        match (&self.rows[y], self.rows.get(y + 1)) {
            (taps, Some(next)) if next.step == 1 => (taps.start + taps.count).max(next.start)..next.start + next.count,
            _ => 0..0,
        }
    }

    fn divisor(&self, y: usize, x: usize) -> f64 {
        (self.rows[y].divisor * self.columns[x].divisor).max(1) as f64
    }

    fn image_elements(&self) -> usize {
        self.input[1] * self.input[2] * self.input[3]
    }

    /// Whether a byte holds the number of any tap.
    fn has_few_taps(&self) -> bool {
        let most = |taps: &[Taps]| taps.iter().map(|taps| taps.count).max().unwrap_or(0);
        most(&self.rows) * most(&self.columns) <= 1 << 8
    }

    /// The output, row by row, and the places of its maxima if they are kept.
    fn pooled<T: Element, P: Place>(&self, xs: &[T], compute: impl Fn(Row<T, P>) + Sync) -> Vec<T> {
        let (len, row) = (self.output_shape().iter().product(), self.columns.len() * self.input[3]);
        let mut places = Vec::with_capacity(if self.keeps_places { len } else { 0 });
        let start = Start(places.as_mut_ptr());
        // SAFETY: the loop writes every pixel; the tasks' rows do not overlap and lie in the output.
        let ys = unsafe {
            filled_chunks(len, row, |first, ys| {
                let (image, y) = (first / row / self.rows.len(), first / row % self.rows.len());
                let xs = &xs[image * self.image_elements()..][..self.image_elements()];
                let places = self.keeps_places.then(|| start.part(first, ys.len()));
                compute(Row { pool: self, xs, y, ys, places });
            })
        };
        if self.keeps_places {
            // SAFETY: the capacity is `len`, and the loop has written every element.
            unsafe { places.set_len(len) };
            _ = self.places.set(P::places(places));
        }
        ys
    }

    /// The gradient of the input, row by row, from the output's, which is divided already; no places for means.
    fn gathered<T: Element, P: Place>(
        &self,
        grad: &[T],
        places: &[P],
        compute: impl Fn(GradRow<T, P>) + Sync,
    ) -> Vec<Option<Arc<Buffer<T>>>> {
        let [_, height, width, channels] = self.input;
        let (rows, columns) = (covers(&self.rows, height), covers(&self.columns, width));
        let (row, outputs) = (width * channels, self.rows.len() * self.columns.len() * channels);
        // SAFETY: the loop writes every pixel.
        let grad_xs = unsafe {
            filled_chunks(self.input.iter().product(), row, |first, grad_xs| {
                let (image, y) = (first / row / height, first / row % height);
                let of_image = image * outputs..(image + 1) * outputs;
                let places = if places.is_empty() { places } else { &places[of_image.clone()] };
                let (rows, columns, grad) = (&rows[y], &columns[..], &grad[of_image]);
                compute(GradRow { pool: self, rows, columns, grad, places, grad_xs });
            })
        };
        vec![Some(Buffer::shared(grad_xs))]
    }

    /// The gradient of means divided by how many they are of.
    fn divided<T: Element>(&self, grad: Gradient<'_, T>) -> Arc<Buffer<T>> {
        let channels = self.input[3];
        grad.updated(self.columns.len() * channels, |first, grad| {
            let y = first / (self.columns.len() * channels) % self.rows.len();
            for (x, grad) in grad.chunks_exact_mut(channels).enumerate() {
                let divisor = T::from_f64(self.divisor(y, x));
                grad.iter_mut().for_each(|grad| *grad /= divisor);
            }
        })
    }

    fn kept_places(&self) -> &Places {
        self.places.get().expect("the forward pass of a tracked input has run")
    }
}

impl Kernel for Pool {
    const NAME: &'static str = "pool";

    fn output_shape(&self) -> Vec<usize> {
        vec![self.input[0], self.rows.len(), self.columns.len(), self.input[3]]
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn forward<T: Element>(&self, inputs: &[&[T]]) -> Vec<T> {
        match self.has_few_taps() {
            true => self.pooled::<T, u8>(inputs[0], |row| vectorised(row)),
            false => self.pooled::<T, u32>(inputs[0], |row| vectorised(row)),
        }
    }

    fn backward<T: Element>(
        &self,
        _: &[&[T]],
        _: &[T],
        grad: Gradient<'_, T>,
        _: &[bool],
    ) -> Vec<Option<Arc<Buffer<T>>>> {
        match self.reduce {
            Reduce::Mean => self.gathered::<T, u8>(&self.divided(grad), &[], |row| vectorised(row)),
            Reduce::Max => match self.kept_places() {
                Places::Few(places) => self.gathered(&grad, places, |row| vectorised(row)),
                Places::Many(places) => self.gathered(&grad, places, |row| vectorised(row)),
            },
        }
    }

    fn forward_f32(&self, inputs: &[&[f32]]) -> Vec<f32> {
        if self.reduce == Reduce::Mean || !self.has_few_taps() {
            return self.forward(inputs);
        }
        self.pooled::<f32, u8>(inputs[0], |row| vectorised(InRegisters(row)))
    }

    fn backward_f32(
        &self,
        inputs: &[&[f32]],
        output: &[f32],
        grad: Gradient<'_, f32>,
        wanted: &[bool],
    ) -> Vec<Option<Arc<Buffer<f32>>>> {
        match self.reduce {
            Reduce::Mean => self.gathered(&self.divided(grad), &[], |row| vectorised(InRegisters(row))),
            Reduce::Max => match self.kept_places() {
                Places::Few(places) => self.gathered(&grad, places, |row| vectorised(InRegisters(row))),
                Places::Many(_) => self.backward(inputs, output, grad, wanted),
            },
        }
    }
}

/// One row of outputs of an image.
struct Row<'a, T, P> {
    pool: &'a Pool,
    xs: &'a [T],
    y: usize,
    ys: &'a mut [MaybeUninit<T>],
    places: Option<&'a mut [MaybeUninit<P>]>,
}

impl<T: Element, P: Place> Loop for Row<'_, T, P> {
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let channels = self.pool.input[3];
        for (x, ys) in self.ys.chunks_exact_mut(channels).enumerate() {
            let mut pixels = self.pool.pixels(self.y, x);
            let of_nothing = if self.pool.reduce == Reduce::Max { f64::NEG_INFINITY } else { 0. };
            match pixels.next() {
                Some(first) => ys.iter_mut().zip(&self.xs[first..]).for_each(|(y, &x)| _ = y.write(x)),
                None => ys.fill(MaybeUninit::new(T::from_f64(of_nothing))),
            }
            // SAFETY: all have just been written.
            let ys = unsafe { ys.assume_init_mut() };
            match self.pool.reduce {
                Reduce::Max => {
                    let places =
                        self.places.as_mut().map_or(&mut [][..], |places| &mut places[x * channels..][..channels]);
                    places.fill(MaybeUninit::new(P::new(0)));
                    for (tap, pixel) in (1..).zip(pixels) {
                        let wins = |value: T, best: T| value > best || (is_nan(value) && !is_nan(best));
                        // The places first, while the maxima are still the old ones.
                        for ((place, &best), &value) in places.iter_mut().zip(&*ys).zip(&self.xs[pixel..]) {
                            if wins(value, best) {
                                place.write(P::new(tap));
                            }
                        }
                        for (best, &value) in ys.iter_mut().zip(&self.xs[pixel..]) {
                            *best = if wins(value, *best) { value } else { *best };
                        }
                    }
                }
                Reduce::Mean => {
                    pixels.for_each(|pixel| {
                        ys.iter_mut().zip(&self.xs[pixel..]).for_each(|(sum, &value)| *sum += value);
                    });
                    let divisor = T::from_f64(self.pool.divisor(self.y, x));
                    ys.iter_mut().for_each(|sum| *sum /= divisor);
                }
            }
        }
    }
}

/// One row of the gradient of an image's input.
struct GradRow<'a, T, P> {
    pool: &'a Pool,
    /// The windows over this row, and over each column.
    rows: &'a [Cover],
    columns: &'a [Vec<Cover>],
    grad: &'a [T],
    /// Empty for means.
    places: &'a [P],
    grad_xs: &'a mut [MaybeUninit<T>],
}

impl<T, P: Place> GradRow<'_, T, P> {
    /// The windows over a pixel of the row: where their gradients begin, and which of their taps the pixel is.
    #[inline(always)]
    fn windows(&self, x: usize) -> impl Iterator<Item = (usize, usize)> {
        let columns = &self.pool.columns;
        self.rows.iter().flat_map(move |row| {
            self.columns[x].iter().map(move |column| {
                let pixel = row.output * columns.len() + column.output;
                (pixel * self.pool.input[3], row.tap * columns[column.output].count + column.tap)
            })
        })
    }
}

impl<T: Element, P: Place> Loop for GradRow<'_, T, P> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (channels, is_max) = (self.pool.input[3], self.pool.reduce == Reduce::Max);
        for x in 0..self.columns.len() {
            let mut sums = vec![T::zero(); channels];
            for (start, tap) in self.windows(x) {
                let (grad, tap) = (&self.grad[start..start + channels], P::new(tap));
                if is_max {
                    for ((sum, &grad), &place) in sums.iter_mut().zip(grad).zip(&self.places[start..]) {
                        *sum += if place == tap { grad } else { T::zero() };
                    }
                } else {
                    sums.iter_mut().zip(grad).for_each(|(sum, &grad)| *sum += grad);
                }
            }
            self.grad_xs[x * channels..][..channels].write_copy_of_slice(&sums);
        }
    }
}

/// The same in f32 with explicit registers.
struct InRegisters<R>(R);

impl Loop for InRegisters<Row<'_, f32, u8>> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self(Row { pool, xs, y, ys, places }) = self;
        let channels = pool.input[3];
        let places = places.map_or(std::ptr::null_mut(), |places| places.as_mut_ptr().cast::<u8>());
        let [_, _, width, _] = pool.input;
        let rows_ahead: Vec<usize> = pool.rows_ahead(y).map(|row| row * width * channels).collect();
        let (mut offsets, mut columns_before, mut shape) = (Vec::new(), 0, None);
        for (x, taps) in pool.columns.iter().enumerate() {
            let first = pool.pixels(y, x).next().unwrap_or(0);
            // Most windows of a row have the same shape.
            if shape.replace((taps.count, taps.step)) != Some((taps.count, taps.step)) {
                offsets.clear();
                offsets.extend(pool.pixels(y, x).map(|pixel| pixel - first));
            }
            let end = taps.start + taps.count;
            let columns_ahead = columns_before.max(taps.start)..end;
            columns_before = end;
            let pixel = MaxPixel {
                xs: xs.as_ptr().wrapping_add(first),
                offsets: &offsets,
                image: xs.as_ptr(),
                rows_ahead: &rows_ahead,
                columns_ahead,
                channels,
                y: ys[x * channels..(x + 1) * channels].as_mut_ptr().cast(),
                places: if places.is_null() { places } else { places.wrapping_add(x * channels) },
            };
            // SAFETY: all pixels have the channels; `S` is what the caller is compiled for.
            unsafe {
                match places.is_null() {
                    true => pixel.run::<S, false>(),
                    false => pixel.run::<S, true>(),
                }
            }
        }
    }
}

/// One output of a maximum and what is under its window.
struct MaxPixel<'a> {
    /// The window's first pixel, and the distances of all of them from it.
    xs: *const f32,
    offsets: &'a [usize],
    /// Rows of the image, as offsets, and columns that will be read soon.
    image: *const f32,
    rows_ahead: &'a [usize],
    columns_ahead: Range<usize>,
    channels: usize,
    y: *mut f32,
    /// Null if they are not kept.
    places: *mut u8,
}

impl MaxPixel<'_> {
    /// # Safety
    /// Every pointer is valid for the channels, but for places unless `PLACES`.
    #[inline(always)]
    unsafe fn run<S: Simd, const PLACES: bool>(&self) {
        let mut channel = 0;
        // SAFETY: the caller's promise; several registers first, then whole ones, then what is left.
        unsafe {
            while channel + 4 * S::LANES <= self.channels {
                self.registers::<S, 4, true, PLACES>(channel);
                channel += 4 * S::LANES;
            }
            while channel + S::LANES <= self.channels {
                self.registers::<S, 1, true, PLACES>(channel);
                channel += S::LANES;
            }
            if channel < self.channels {
                self.registers::<S, 1, false, PLACES>(channel);
            }
        }
    }

    /// `V` registers; unless `FULL`, one with what is left of the channels.
    #[inline(always)]
    unsafe fn registers<S: Simd, const V: usize, const FULL: bool, const PLACES: bool>(&self, channel: usize) {
        let count = if FULL { S::LANES } else { self.channels - channel };
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..V {
                S::prefetch_to_write(self.y.add(channel + v * S::LANES));
            }
            let (mut best, mut place) = ([S::splat(f32::NEG_INFINITY); V], [S::splat(0.); V]);
            if !self.offsets.is_empty() {
                for (v, best) in best.iter_mut().enumerate() {
                    *best = load::<S, FULL>(self.xs.add(channel + v * S::LANES), count);
                }
            }
            for (tap, &offset) in self.offsets.iter().enumerate().skip(1) {
                let (tap, pixel) = (S::splat(tap as f32), self.xs.add(offset));
                for v in 0..V {
                    let value = load::<S, FULL>(pixel.add(channel + v * S::LANES), count);
                    (best[v], place[v]) = best[v].larger(place[v], value, tap);
                }
            }
            for row in self.rows_ahead {
                for column in self.columns_ahead.clone() {
                    for v in 0..V {
                        let at = row + column * self.channels + channel + v * S::LANES;
                        S::prefetch(self.image.wrapping_add(at));
                    }
                }
            }
            for v in 0..V {
                let at = channel + v * S::LANES;
                store::<S, FULL>(best[v], self.y.add(at), count);
                if PLACES {
                    place[v].store_bytes(self.places.add(at), count);
                }
            }
        }
    }
}

impl Loop for InRegisters<GradRow<'_, f32, u8>> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self(mut row) = self;
        let (channels, columns) = (row.pool.input[3], &row.pool.columns);
        let grad_xs = std::mem::take(&mut row.grad_xs);
        let mut windows = Vec::new();
        for (x, grad_xs) in grad_xs.chunks_exact_mut(channels).enumerate() {
            windows.clear();
            for over_row in row.rows {
                for over in &row.columns[x] {
                    let start = (over_row.output * columns.len() + over.output) * channels;
                    let tap = (over_row.tap * columns[over.output].count + over.tap) as f32;
                    let (grad, places) =
                        (row.grad.as_ptr().wrapping_add(start), row.places.as_ptr().wrapping_add(start));
                    windows.push(Covering { grad, places, tap });
                }
            }
            let pixel = GradPixel { windows: &windows, channels, grad_x: grad_xs.as_mut_ptr().cast() };
            // SAFETY: all pixels have the channels, and all windows have places or none; `S` is what the caller is compiled for.
            unsafe {
                match row.pool.reduce {
                    Reduce::Max => pixel.run::<S, true>(),
                    Reduce::Mean => pixel.run::<S, false>(),
                }
            }
        }
    }
}

/// A window over a pixel.
struct Covering {
    grad: *const f32,
    /// Not to be read for means.
    places: *const u8,
    /// Which of the window's taps the pixel is.
    tap: f32,
}

/// The gradient of one pixel of the input and the windows over it.
struct GradPixel<'a> {
    windows: &'a [Covering],
    channels: usize,
    grad_x: *mut f32,
}

impl GradPixel<'_> {
    /// # Safety
    /// Every pointer is valid for the channels, but for places unless `MAX`.
    #[inline(always)]
    unsafe fn run<S: Simd, const MAX: bool>(&self) {
        let mut channel = 0;
        // SAFETY: the caller's promise; whole registers first, then what is left.
        unsafe {
            while channel + 4 * S::LANES <= self.channels {
                self.registers::<S, 4, true, MAX>(channel);
                channel += 4 * S::LANES;
            }
            while channel + S::LANES <= self.channels {
                self.registers::<S, 1, true, MAX>(channel);
                channel += S::LANES;
            }
            if channel < self.channels {
                self.registers::<S, 1, false, MAX>(channel);
            }
        }
    }

    /// `V` registers; unless `FULL`, one with what is left of the channels.
    #[inline(always)]
    unsafe fn registers<S: Simd, const V: usize, const FULL: bool, const MAX: bool>(&self, channel: usize) {
        let count = if FULL { S::LANES } else { self.channels - channel };
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..V {
                S::prefetch_to_write(self.grad_x.add(channel + v * S::LANES));
            }
            let mut sums = [S::splat(0.); V];
            for window in self.windows {
                let tap = S::splat(window.tap);
                for (v, sum) in sums.iter_mut().enumerate() {
                    let at = channel + v * S::LANES;
                    let mut grad = load::<S, FULL>(window.grad.add(at), count);
                    if MAX {
                        grad = S::load_bytes(window.places.add(at), count).where_equal(tap, grad);
                    }
                    *sum = sum.add(grad);
                }
            }
            for (v, &sum) in sums.iter().enumerate() {
                store::<S, FULL>(sum, self.grad_x.add(channel + v * S::LANES), count);
            }
        }
    }
}

#[inline(always)]
#[expect(clippy::eq_op, reason = "NaN is the one value that differs from itself, and the trait has no is_nan")]
fn is_nan<T: Element>(value: T) -> bool {
    value != value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Tensor, Var};

    #[test]
    fn the_first_of_equal_values_gets_the_gradient() {
        let xs = Var::from_tensor(&Tensor::ones((1, 1, 2, 4), candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let map = FeatureMap::from_nchw(&xs).unwrap();
        let ys = max_pool(&map, &Window { stride: [2, 2], ..Window::new([2, 2]) }).unwrap();
        let grads = ys.to_nchw().unwrap().sum_all().unwrap().backward().unwrap();
        let grad = grads.get(&xs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(grad, [1., 0., 1., 0., 0., 0., 0., 0.]);
    }

    #[test]
    fn padding_beyond_half_of_the_window_is_an_error() {
        let xs =
            FeatureMap::from_nchw(&Tensor::ones((1, 1, 5, 4), candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let message =
            max_pool(&xs, &Window { padding: Padding::all(2), ..Window::new([3, 3]) }).unwrap_err().to_string();
        assert!(
            message.contains("padding of the rows is 2, expected at most 1, half of the window's extent 3"),
            "{message}"
        );
        assert!(upsample_nearest(&xs, [0, 4]).is_err());
        assert!(adaptive_avg_pool(&xs, [1, 0]).is_err());
    }
}
