//! Pooling of bytes.
#![allow(unsafe_code)]

use crate::error::{Checked, Error};
use crate::int8::map::{QuantizedMap, zeros};
use crate::int8::quantization::{Quantization, factor};
use crate::machine::integers::Requantize;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel::for_each_chunk;
use crate::machine::simd::Simd;
use crate::pool::{Taps, windows};
use crate::{Activation, Window};

const AVERAGE: &str = "quantized_avg_pool";

/// Max-pooling: the largest byte under the window; padding never wins. The bytes stand for the same
/// as before.
///
/// # Shapes
/// As [`max_pool`](crate::max_pool).
///
/// # Errors
/// As [`max_pool`](crate::max_pool).
pub fn max_pool(xs: &QuantizedMap, window: &Window) -> Result<QuantizedMap, Error> {
    let places = windows("quantized_max_pool", image_size(xs), window)?;
    Ok(pool(xs, &places, xs.quantization(), |row| {
        vectorised(MaxRow(row));
    }))
}

/// Average pooling: `f32(Σ (q − z_x)) · f32(s_x / (s_y · count))` as a byte of `output`, rounded
/// half to even; the sum is exact. With `count_include_pad` the window's places in the padding count,
/// otherwise only those inside the input.
///
/// # Shapes
/// As [`avg_pool`](crate::avg_pool).
///
/// # Errors
/// As [`avg_pool`](crate::avg_pool), or if the scales are too far from each other.
pub fn avg_pool(
    xs: &QuantizedMap,
    window: &Window,
    count_include_pad: bool,
    output: Quantization,
) -> Result<QuantizedMap, Error> {
    let mut places = windows(AVERAGE, image_size(xs), window)?;
    if !count_include_pad {
        let taps = places.iter_mut().flatten();
        taps.for_each(|taps| taps.divisor = taps.count);
    }
    average(xs, &places, output)
}

/// The mean over each whole map: `(N, H, W, C)` to `(N, 1, 1, C)`, as [`avg_pool`].
///
/// # Errors
/// If the maps are empty, or the scales are too far from each other.
pub fn global_avg_pool(xs: &QuantizedMap, output: Quantization) -> Result<QuantizedMap, Error> {
    let window = Window::new(image_size(xs));
    average(xs, &windows(AVERAGE, image_size(xs), &window)?, output)
}

fn image_size(xs: &QuantizedMap) -> [usize; 2] {
    let [_, height, width, _] = xs.dims();
    [height, width]
}

fn average(
    xs: &QuantizedMap,
    places: &[Vec<Taps>; 2],
    output: Quantization,
) -> Checked<QuantizedMap> {
    let requantize = output.requantize(AVERAGE, Activation::Identity)?;
    let scales = [xs.quantization().scale(), output.scale()].map(f64::from);
    // The fewest values have the largest factor.
    factor(AVERAGE, scales[0], scales[1])?;
    let zero_point = i64::from(xs.quantization().zero_point());
    Ok(pool(xs, places, output, |row| {
        vectorised(MeanRow {
            row,
            scales,
            zero_point,
            requantize,
        });
    }))
}

/// A row of outputs and what lies under it.
struct PoolRow<'a> {
    /// The image.
    xs: &'a [u8],
    width: usize,
    channels: usize,
    rows: Taps,
    columns: &'a [Taps],
    ys: &'a mut [u8],
}

fn pool(
    xs: &QuantizedMap,
    [rows, columns]: &[Vec<Taps>; 2],
    output: Quantization,
    compute: impl Fn(PoolRow) + Sync,
) -> QuantizedMap {
    let [batch, height, width, channels] = xs.dims();
    let dims = [batch, rows.len(), columns.len(), channels];
    let mut values = zeros(dims.iter().product());
    let row_values = columns.len() * channels;
    let image = height * width * channels;
    for_each_chunk(&mut values, row_values, |first, ys| {
        let row = first / row_values;
        compute(PoolRow {
            xs: &xs.values()[row / rows.len() * image..][..image],
            width,
            channels,
            rows: rows[row % rows.len()],
            columns,
            ys,
        });
    });
    QuantizedMap::wrap(dims, values, output)
}

impl PoolRow<'_> {
    /// The pixels of source row `i` under output `x`.
    #[inline(always)]
    fn pixels(&self, i: usize, x: usize) -> impl Iterator<Item = &[u8]> {
        let columns = self.columns[x];
        let line = (self.rows.start + i * self.rows.step) * self.width;
        (0..columns.count).map(move |j| {
            let pixel = line + columns.start + j * columns.step;
            &self.xs[pixel * self.channels..][..self.channels]
        })
    }
}

struct MaxRow<'a>(PoolRow<'a>);

impl Loop for MaxRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let mut row = self.0;
        let ys = std::mem::take(&mut row.ys);
        for (x, ys) in ys.chunks_exact_mut(row.channels).enumerate() {
            for i in 0..row.rows.count {
                for pixel in row.pixels(i, x) {
                    for (largest, &value) in ys.iter_mut().zip(pixel) {
                        *largest = (*largest).max(value);
                    }
                }
            }
        }
    }
}

struct MeanRow<'a> {
    row: PoolRow<'a>,
    /// The input's and the output's.
    scales: [f64; 2],
    zero_point: i64,
    requantize: Requantize,
}

impl Loop for MeanRow<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            mut row,
            scales,
            zero_point,
            requantize,
        } = self;
        let ys = std::mem::take(&mut row.ys);
        // A row of a window fits into 32 bits, a whole one perhaps not.
        let mut row_sums = vec![0u32; row.channels];
        let mut sums = vec![0i64; row.channels];
        for (x, ys) in ys.chunks_exact_mut(row.channels).enumerate() {
            let columns = row.columns[x];
            sums.fill(-zero_point * (row.rows.count * columns.count) as i64);
            for i in 0..row.rows.count {
                row_sums.fill(0);
                for pixel in row.pixels(i, x) {
                    for (sum, &value) in row_sums.iter_mut().zip(pixel) {
                        *sum += u32::from(value);
                    }
                }
                for (sum, &of_row) in sums.iter_mut().zip(&row_sums) {
                    *sum += i64::from(of_row);
                }
            }
            let divisor = (row.rows.divisor * columns.divisor).max(1) as f64;
            let factor = (scales[0] / (scales[1] * divisor)) as f32;
            for (y, &sum) in ys.iter_mut().zip(&sums) {
                *y = requantize.byte(sum as f32 * factor);
            }
        }
    }
}
