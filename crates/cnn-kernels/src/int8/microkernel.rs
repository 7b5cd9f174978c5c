//! The inner loop of integer convolution, a product of small matrices whose sums stay in registers,
//! for each instruction set.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use crate::int8::ceiling;
use crate::int8::depthwise::{RowTile, convolve_row};
#[cfg(target_arch = "x86_64")]
use crate::machine::integers::{Avx2Integers, Avx512Integers, AvxVnniIntegers, HalfIntegers};
use crate::machine::integers::{Integers, PortableIntegers, Requantize};
use crate::machine::isa::InstructionSet;
#[cfg(target_arch = "x86_64")]
use crate::machine::isa::has_avx512_vnni;

/// A run of consecutive input bytes, relative to an output pixel's first byte, in fours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) offset: usize,
    pub(crate) quads: usize,
}

/// Where the sums go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Output<'a> {
    /// As bytes.
    Bytes {
        /// The first pixel.
        to: *mut u8,
        requantize: &'a Requantize,
        residual: Option<Residual>,
    },
    /// As they are.
    Sums(*mut i32),
}

// SAFETY: the addresses are only numbers here; whoever writes through them promises to be the only
// one at that place, and the residual is read alone.
unsafe impl Sync for Output<'_> {}

impl Output<'_> {
    /// The output that begins so many values further on.
    ///
    /// # Safety
    /// There are as many.
    pub(crate) unsafe fn from(&self, values: usize) -> Self {
        match *self {
            Self::Sums(to) => Self::Sums(to.add(values)),
            Self::Bytes {
                to,
                requantize,
                residual,
            } => Self::Bytes {
                to: to.add(values),
                requantize,
                residual: residual.map(|residual| Residual {
                    from: residual.from.add(values),
                    ..residual
                }),
            },
        }
    }
}

/// A map that is added to the scaled sums: `factor · (q − zero_point)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Residual {
    /// Laid out as the output.
    pub(crate) from: *const u8,
    pub(crate) zero_point: i32,
    pub(crate) factor: f32,
}

/// `c[i] = bias + Σ_k a[i][k] · b[k]`: some pixels times a panel of output channels.
pub(crate) struct Multiply<'a> {
    /// The input; pixel `i` begins at `pixels[i]`.
    pub(crate) a: *const u8,
    pub(crate) pixels: &'a [usize],
    /// What each pixel reads, in the order of `b`.
    pub(crate) segments: &'a [Segment],
    /// Packed weights: for each four bytes that are read, the four weights of every channel of the
    /// panel.
    pub(crate) b: *const i8,
    /// One per channel, padded to whole registers.
    pub(crate) bias: *const i32,
    /// As the bias; not read for sums.
    pub(crate) factors: *const f32,
    pub(crate) output: Output<'a>,
    /// Values between neighbouring pixels of the output.
    pub(crate) step: usize,
    /// Output channels of this panel.
    pub(crate) channels: usize,
}

/// The loop compiled for one instruction set. A panel is up to [`MAX_VECTORS`] registers wide.
pub(crate) struct Microkernels {
    /// Channels per register.
    pub(crate) lanes: usize,
    /// Those of the registers for a last few channels of a depthwise convolution.
    pub(crate) narrow_lanes: usize,
    multiply: [&'static [unsafe fn(&Multiply)]; MAX_VECTORS],
    pub(crate) depthwise: unsafe fn(&RowTile),
    pub(crate) dot_products: unsafe fn(),
}

/// Registers of the widest panel.
const MAX_VECTORS: usize = 3;
/// Registers of sums of the largest tile, rounded up to fours.
const MOST_SUMS: usize = 28;

impl Microkernels {
    /// Those of the process's instruction set.
    pub(crate) fn current() -> &'static Self {
        match InstructionSet::current() {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 if has_avx512_vnni() => &avx512_vnni::KERNELS,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::AvxVnni => &avx_vnni::KERNELS,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 | InstructionSet::Avx2 => &avx2::KERNELS,
            _ => &portable::KERNELS,
        }
    }

    /// Most pixels that one call takes for a panel of `vectors` registers.
    pub(crate) fn rows(&self, vectors: usize) -> usize {
        self.multiply[vectors - 1].len()
    }

    /// Runs on `tile.pixels.len()` pixels, 1 to [`Microkernels::rows`].
    ///
    /// # Safety
    /// The processor has the instruction set; every address that the tile names is valid, and four
    /// bytes can be read wherever a segment has a quad.
    pub(crate) unsafe fn multiply(&self, tile: &Multiply) {
        self.multiply[tile.channels.div_ceil(self.lanes) - 1][tile.pixels.len() - 1](tile);
    }
}

#[inline(always)]
unsafe fn multiply<R: Integers, const M: usize, const V: usize>(tile: &Multiply) {
    let bias: [R; V] = std::array::from_fn(|v| R::load(tile.bias.add(v * R::LANES)));
    let mut sums = [bias; M];
    let mut b = tile.b.cast::<u8>();
    for segment in tile.segments {
        let rows: [*const u8; M] =
            std::array::from_fn(|i| tile.a.add(*tile.pixels.get_unchecked(i) + segment.offset));
        let mut k = 0;
        while k + 4 <= segment.quads {
            for k in k..k + 4 {
                b = add_quad(&mut sums, &rows, k, b);
            }
            k += 4;
        }
        while k < segment.quads {
            b = add_quad(&mut sums, &rows, k, b);
            k += 1;
        }
    }
    let tail = tile.channels - (V - 1) * R::LANES;
    // Loops of few instructions each: the compiler unrolls those, and only then do the sums stay in
    // registers.
    match tile.output {
        Output::Sums(to) => {
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let count = if v + 1 == V { tail } else { R::LANES };
                    sum.store_first(to.add(i * tile.step + v * R::LANES), count);
                }
            }
        }
        Output::Bytes {
            to,
            requantize,
            residual,
        } => {
            let factors: [R::Floats; V] =
                std::array::from_fn(|v| R::load_floats(tile.factors.add(v * R::LANES)));
            let mut floats = [factors[0]; MOST_SUMS];
            for (i, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    floats[i * V + v] = sum.scaled(factors[v]);
                }
            }
            if let Some(residual) = residual {
                for i in 0..M {
                    let from = residual.from.add(i * tile.step);
                    for v in 0..V {
                        let count = if v + 1 == V { tail } else { R::LANES };
                        let values = R::load_as_lanes(from.add(v * R::LANES), count);
                        let Residual {
                            zero_point, factor, ..
                        } = residual;
                        let float = &mut floats[i * V + v];
                        *float = R::add_scaled(*float, values, zero_point, factor);
                    }
                }
            }
            // Four registers become bytes together; behind the last there is nothing to write.
            for first in (0..M * V).step_by(4) {
                let four = std::array::from_fn(|r| *floats.get_unchecked(first + r));
                let places = std::array::from_fn(|r| {
                    let register = (first + r).min(M * V - 1);
                    to.add(register / V * tile.step + register % V * R::LANES)
                });
                let counts = std::array::from_fn(|r| match first + r {
                    register if register >= M * V => 0,
                    register if register % V + 1 == V => tail,
                    _ => R::LANES,
                });
                R::gathered(four, requantize).store_gathered(places, counts);
            }
        }
    }
}

/// Adds four bytes of each pixel times their weights; returns the next ones.
#[inline(always)]
unsafe fn add_quad<R: Integers, const M: usize, const V: usize>(
    sums: &mut [[R; V]; M],
    rows: &[*const u8; M],
    k: usize,
    b: *const u8,
) -> *const u8 {
    let weights: [R; V] = std::array::from_fn(|v| R::load_bytes(b.add(4 * v * R::LANES)));
    for (sums, row) in sums.iter_mut().zip(rows) {
        let x = R::splat_quad(row.add(4 * k));
        for (sum, &weights) in sums.iter_mut().zip(&weights) {
            *sum = sum.add_dot(x, weights);
        }
    }
    b.add(4 * V * R::LANES)
}

/// The loops for one instruction set: wrappers that enable it, and tables of them by panel width
/// and number of pixels.
macro_rules! compile_for {
    ($name:ident, $registers:ident, $narrow:ident, $($features:literal)?, [$($one:literal)*], [$($two:literal)*], [$($three:literal)*]) => {
        mod $name {
            use super::*;

            $(#[target_feature(enable = $features)])?
            unsafe fn times<const M: usize, const V: usize>(tile: &Multiply) {
                multiply::<$registers, M, V>(tile)
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn depthwise(tile: &RowTile) {
                convolve_row::<$registers, $narrow>(tile)
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn dot_products() {
                ceiling::dot_products::<$registers>()
            }

            pub(super) static KERNELS: Microkernels = Microkernels {
                lanes: <$registers as Integers>::LANES,
                narrow_lanes: <$narrow as Integers>::LANES,
                multiply: [&[$(times::<$one, 1>),*], &[$(times::<$two, 2>),*], &[$(times::<$three, 3>),*]],
                depthwise,
                dot_products,
            };
        }
    };
}

// As many pixels as leave registers for the weights of a quad and the bytes of one pixel.
#[cfg(target_arch = "x86_64")]
compile_for!(avx512_vnni, Avx512Integers, HalfIntegers, "avx512f,avx512vl,avx512dq,avx512bw,avx512vnni,avx2,fma",
    [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6 7 8 9 10 11 12 13 14], [1 2 3 4 5 6 7 8 9]);
#[cfg(target_arch = "x86_64")]
compile_for!(avx_vnni, AvxVnniIntegers, AvxVnniIntegers, "avxvnni,avx2,fma",
    [1 2 3 4 5 6 7 8 9 10], [1 2 3 4 5 6], [1 2 3 4]);
#[cfg(target_arch = "x86_64")]
compile_for!(avx2, Avx2Integers, Avx2Integers, "avx2,fma", [1 2 3 4 5 6 7 8], [1 2 3 4], [1 2 3]);
compile_for!(portable, PortableIntegers, PortableIntegers, , [1 2 3 4], [1 2 3 4], [1 2 3]);
