//! The two inner loops of convolution, products of small matrices whose result stays in registers,
//! for each instruction set.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use crate::machine::isa::InstructionSet;
#[cfg(target_arch = "x86_64")]
use crate::machine::simd::{Avx2, Avx512};
use crate::machine::simd::{MAX_LANES, Portable, Simd};

/// A run of consecutive input values, relative to an output pixel's first value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: usize,
    pub(crate) len: usize,
}

/// `c[i] = bias + Σ_k a[i][k] · b[k]`: some pixels times a panel of output channels.
pub(crate) struct Multiply<'a> {
    /// The input; pixel `i` begins at `pixels[i]`.
    pub(crate) a: *const f32,
    pub(crate) pixels: &'a [usize],
    /// What each pixel reads, in the order of `b`.
    pub(crate) segments: &'a [Segment],
    /// Packed weights, one register row per value read.
    pub(crate) b: *const f32,
    /// The output; pixel `i` begins at `outputs[i]`.
    pub(crate) c: *mut f32,
    pub(crate) outputs: &'a [usize],
    /// Added once if not null: `channels` values.
    pub(crate) bias: *const f32,
    /// Added if not null; laid out as `c`.
    pub(crate) residual: *const f32,
    /// What the sum is brought within before it is stored; NaN stays.
    pub(crate) bounds: [f32; 2],
    /// Adds to what `c` holds instead of replacing it.
    pub(crate) accumulate: bool,
    /// Output channels of this panel.
    pub(crate) channels: usize,
    /// Input that is wanted next: a cache line of it is asked for with each value read. Null if it
    /// is near already.
    pub(crate) ahead: *const f32,
}

/// Consecutive pixels of the weight gradient: where the first one's input begins, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PixelRun {
    pub(crate) start: usize,
    pub(crate) pixels: usize,
}

/// `c[i] += Σ_pixels a[pixel][i] · b[pixel]`: some input values times a panel of output gradients.
pub(crate) struct Correlate<'a> {
    /// The input; run after run, pixels `a_step` apart.
    pub(crate) a: *const f32,
    pub(crate) a_step: usize,
    pub(crate) runs: &'a [PixelRun],
    /// Where each of the values lies relative to its pixel; consecutive if `CONTIGUOUS`.
    pub(crate) values: &'a [usize],
    /// The gradients, pixels `b_step` apart without regard to runs.
    pub(crate) b: *const f32,
    pub(crate) b_step: usize,
    /// The result, rows of whole registers.
    pub(crate) c: *mut f32,
    /// Adds to what `c` holds instead of replacing it.
    pub(crate) accumulate: bool,
    /// Input that is wanted next: a cache line of it is asked for with each pixel. Null if it is
    /// near already.
    pub(crate) ahead: *const f32,
}

/// Copies channels of consecutive pixels into rows of whole registers, zeros behind the last
/// channel.
pub(crate) struct Gather {
    pub(crate) from: *const f32,
    /// Floats between neighbouring pixels.
    pub(crate) step: usize,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
    pub(crate) to: *mut f32,
}

/// Copies `rows` rows of floats so that column `j` becomes a row of one register, zeros behind the
/// last row.
pub(crate) struct Pack<'a> {
    /// Rows, `step` floats apart, at most as many as lanes.
    pub(crate) from: *const f32,
    pub(crate) step: usize,
    pub(crate) rows: usize,
    pub(crate) to: *mut f32,
    /// Where each column goes; [`SKIPPED`] columns are not wanted.
    pub(crate) columns: &'a [usize],
}

/// A column that is not copied.
pub(crate) const SKIPPED: usize = usize::MAX;

/// The way back, with sums: `parts` blocks of one-register rows become rows of floats.
pub(crate) struct Unpack<'a> {
    /// The first part; the others follow `part` floats apart.
    pub(crate) from: *const f32,
    pub(crate) parts: usize,
    pub(crate) part: usize,
    /// Where each column lies.
    pub(crate) columns: &'a [usize],
    /// Rows, `step` floats apart, at most as many as lanes.
    pub(crate) to: *mut f32,
    pub(crate) step: usize,
    pub(crate) rows: usize,
}

/// The loops compiled for one instruction set. A panel is up to [`MAX_VECTORS`] registers wide.
pub(crate) struct Microkernels {
    /// Values per register.
    pub(crate) lanes: usize,
    multiply: [&'static [unsafe fn(&Multiply)]; MAX_VECTORS],
    contiguous: [&'static [unsafe fn(&Correlate)]; MAX_VECTORS],
    scattered: [&'static [unsafe fn(&Correlate)]; MAX_VECTORS],
    gather: unsafe fn(&Gather),
    pack: unsafe fn(&Pack),
    unpack: unsafe fn(&Unpack),
}

/// Registers of the widest panel.
pub(crate) const MAX_VECTORS: usize = 3;

impl Microkernels {
    /// Those of the process's instruction set.
    pub(crate) fn current() -> &'static Self {
        match InstructionSet::current() {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::AvxVnni | InstructionSet::Avx2 => &avx2::KERNELS,
            _ => &portable::KERNELS,
        }
    }

    /// Most pixels, or values, that one call takes for a panel of `vectors` registers.
    pub(crate) fn rows(&self, vectors: usize) -> usize {
        self.multiply[vectors - 1].len()
    }

    /// Runs on `tile.pixels.len()` pixels, 1 to [`Microkernels::rows`].
    ///
    /// # Safety
    /// The processor has the instruction set; every address that the tile names is valid, `b` is
    /// padded to whole registers.
    pub(crate) unsafe fn multiply(&self, tile: &Multiply) {
        self.multiply[tile.channels.div_ceil(self.lanes) - 1][tile.pixels.len() - 1](tile);
    }

    /// Runs on `tile.values.len()` values, 1 to [`Microkernels::rows`].
    ///
    /// # Safety
    /// As [`Microkernels::multiply`]; `b` and `c` are rows of whole registers.
    pub(crate) unsafe fn correlate(&self, vectors: usize, tile: &Correlate) {
        let consecutive = tile.values.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let table = if consecutive {
            &self.contiguous
        } else {
            &self.scattered
        };
        table[vectors - 1][tile.values.len() - 1](tile);
    }

    /// Copies.
    ///
    /// # Safety
    /// As [`Microkernels::multiply`]; `to` holds `pixels` rows of whole registers.
    pub(crate) unsafe fn gather(&self, rows: &Gather) {
        (self.gather)(rows);
    }

    /// Packs.
    ///
    /// # Safety
    /// As [`Microkernels::multiply`]; `to` is valid for a register at each wanted column.
    pub(crate) unsafe fn pack(&self, block: &Pack) {
        (self.pack)(block);
    }

    /// Unpacks.
    ///
    /// # Safety
    /// As [`Microkernels::multiply`]; `from` is valid for a register at each column of each part.
    pub(crate) unsafe fn unpack(&self, block: &Unpack) {
        (self.unpack)(block);
    }
}

#[inline(always)]
unsafe fn multiply<S: Simd, const M: usize, const V: usize>(tile: &Multiply) {
    let mut sums = [[S::splat(0.); V]; M];
    let mut b = tile.b;
    let (mut ahead, line) = if tile.ahead.is_null() {
        (tile.b, 0)
    } else {
        (tile.ahead, MAX_LANES)
    };
    for &output in tile.outputs {
        for v in 0..V {
            S::prefetch_to_write(tile.c.add(output + v * S::LANES));
        }
    }
    for segment in tile.segments {
        let rows: [*const f32; M] =
            std::array::from_fn(|i| tile.a.add(*tile.pixels.get_unchecked(i) + segment.offset));
        let mut k = 0;
        while k + 4 <= segment.len {
            for k in k..k + 4 {
                b = add_row(&mut sums, &rows, k, b);
                S::prefetch(ahead);
                ahead = ahead.wrapping_add(line);
            }
            k += 4;
        }
        while k < segment.len {
            b = add_row(&mut sums, &rows, k, b);
            k += 1;
        }
    }
    let tail = tile.channels - (V - 1) * S::LANES;
    let mut bias = [S::splat(0.); V];
    if !tile.bias.is_null() {
        for (v, bias) in bias.iter_mut().enumerate() {
            *bias = load(tile.bias.add(v * S::LANES), v + 1 == V, tail);
        }
    }
    // Loops of few instructions each: the compiler unrolls those, and only then do the sums stay in
    // registers.
    let [low, high] = tile.bounds.map(|bound| S::splat(bound));
    if !tile.residual.is_null() {
        for (i, sums) in sums.iter_mut().enumerate() {
            let residual = tile.residual.add(*tile.outputs.get_unchecked(i));
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(load(residual.add(v * S::LANES), v + 1 == V, tail));
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let c = tile.c.add(*tile.outputs.get_unchecked(i));
        for (v, &sum) in sums.iter().enumerate() {
            let c = c.add(v * S::LANES);
            let last = v + 1 == V;
            let sum = sum
                .add(if tile.accumulate {
                    load(c, last, tail)
                } else {
                    bias[v]
                })
                .within(low, high);
            if last && tail < S::LANES {
                sum.store_first(c, tail)
            } else {
                sum.store(c)
            }
        }
    }
}

/// Adds value `k` of each pixel times one row of weights; returns the next row.
#[inline(always)]
unsafe fn add_row<S: Simd, const M: usize, const V: usize>(
    sums: &mut [[S; V]; M],
    rows: &[*const f32; M],
    k: usize,
    b: *const f32,
) -> *const f32 {
    let weights: [S; V] = std::array::from_fn(|v| S::load(b.add(v * S::LANES)));
    for (sums, row) in sums.iter_mut().zip(rows) {
        let x = S::splat(*row.add(k));
        for (sum, &weight) in sums.iter_mut().zip(&weights) {
            *sum = sum.add_product(x, weight);
        }
    }
    b.add(V * S::LANES)
}

#[inline(always)]
unsafe fn load<S: Simd>(from: *const f32, last: bool, tail: usize) -> S {
    if last && tail < S::LANES {
        S::load_first(from, tail)
    } else {
        S::load(from)
    }
}

#[inline(always)]
unsafe fn correlate<S: Simd, const M: usize, const V: usize, const CONTIGUOUS: bool>(
    tile: &Correlate,
) {
    let mut sums = [[S::splat(0.); V]; M];
    let values: [usize; M] = std::array::from_fn(|i| *tile.values.get_unchecked(i));
    let mut b = tile.b;
    let (mut ahead, line) = if tile.ahead.is_null() {
        (tile.b, 0)
    } else {
        (tile.ahead, MAX_LANES)
    };
    for run in tile.runs {
        let mut a = tile.a.add(run.start + values[0]);
        for _ in 0..run.pixels {
            let grads: [S; V] = std::array::from_fn(|v| S::load(b.add(v * S::LANES)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let x = S::splat(*a.add(if CONTIGUOUS { i } else { values[i] - values[0] }));
                for (sum, &grad) in sums.iter_mut().zip(&grads) {
                    *sum = sum.add_product(x, grad);
                }
            }
            S::prefetch(ahead);
            ahead = ahead.wrapping_add(line);
            a = a.wrapping_add(tile.a_step);
            b = b.wrapping_add(tile.b_step);
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (v, &sum) in sums.iter().enumerate() {
            let c = tile.c.add((i * V + v) * S::LANES);
            (if tile.accumulate {
                sum.add(S::load(c))
            } else {
                sum
            })
            .store(c);
        }
    }
}

#[inline(always)]
unsafe fn gather<S: Simd>(rows: &Gather) {
    let mut from = rows.from;
    let mut to = rows.to;
    let whole = rows.channels / S::LANES;
    let tail = rows.channels % S::LANES;
    for _ in 0..rows.pixels {
        for v in 0..whole {
            S::load(from.add(v * S::LANES)).store(to.add(v * S::LANES));
        }
        if tail > 0 {
            S::load_first(from.add(whole * S::LANES), tail).store(to.add(whole * S::LANES));
        }
        from = from.wrapping_add(rows.step);
        to = to.add(rows.channels.next_multiple_of(S::LANES));
    }
}

#[inline(always)]
unsafe fn pack<S: Simd>(block: &Pack) {
    for (index, columns) in block.columns.chunks(S::LANES).enumerate() {
        let mut registers = [S::splat(0.); MAX_LANES];
        for (row, register) in registers
            .iter_mut()
            .enumerate()
            .take(block.rows.min(S::LANES))
        {
            let from = block.from.add(row * block.step + index * S::LANES);
            *register = load(from, true, columns.len());
        }
        S::transpose(&mut registers);
        for (&column, register) in columns.iter().zip(registers) {
            if column != SKIPPED {
                register.store(block.to.add(column));
            }
        }
    }
}

#[inline(always)]
unsafe fn unpack<S: Simd>(block: &Unpack) {
    for (index, columns) in block.columns.chunks(S::LANES).enumerate() {
        let mut registers = [S::splat(0.); MAX_LANES];
        for (&column, register) in columns.iter().zip(&mut registers) {
            for part in 0..block.parts {
                *register = register.add(S::load(block.from.add(part * block.part + column)));
            }
        }
        S::transpose(&mut registers);
        for (row, register) in registers.iter().enumerate().take(block.rows.min(S::LANES)) {
            let to = block.to.add(row * block.step + index * S::LANES);
            if columns.len() == S::LANES {
                register.store(to)
            } else {
                register.store_first(to, columns.len())
            }
        }
    }
}

/// The loops for one instruction set: wrappers that enable it, and tables of them by panel width
/// and number of rows.
macro_rules! compile_for {
    ($name:ident, $simd:ident, $($features:literal)?, [$($one:literal)*], [$($two:literal)*], [$($three:literal)*]) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $features)])?
            unsafe fn times<const M: usize, const V: usize>(tile: &Multiply) {
                multiply::<$simd, M, V>(tile)
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn with<const M: usize, const V: usize, const CONTIGUOUS: bool>(tile: &Correlate) {
                correlate::<$simd, M, V, CONTIGUOUS>(tile)
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn copy(rows: &Gather) {
                gather::<$simd>(rows)
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn to_lanes(block: &Pack) {
                pack::<$simd>(block)
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn from_lanes(block: &Unpack) {
                unpack::<$simd>(block)
            }

            pub(super) static KERNELS: Microkernels = Microkernels {
                lanes: <$simd as Simd>::LANES,
                multiply: [&[$(times::<$one, 1>),*], &[$(times::<$two, 2>),*], &[$(times::<$three, 3>),*]],
                contiguous: [&[$(with::<$one, 1, true>),*], &[$(with::<$two, 2, true>),*], &[$(with::<$three, 3, true>),*]],
                gather: copy,
                pack: to_lanes,
                unpack: from_lanes,
                scattered: [&[$(with::<$one, 1, false>),*], &[$(with::<$two, 2, false>),*], &[$(with::<$three, 3, false>),*]],
            };
        }
    };
}

// As many rows as leave registers for one row of weights and one value: 32 registers, then twice
// 16.
#[cfg(target_arch = "x86_64")]
compile_for!(avx512, Avx512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma",
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6 7 8 9]);
#[cfg(target_arch = "x86_64")]
compile_for!(avx2, Avx2, "avx2,fma", [1 2 3 4 5 6 7 8 9 10], [1 2 3 4 5 6], [1 2 3 4]);
compile_for!(portable, Portable, , [1 2 3 4 5 6], [1 2 3 4], [1 2 3]);
