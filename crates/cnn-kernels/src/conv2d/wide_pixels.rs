//! Narrow targets: some neighbouring pixels of a row as one wide pixel.
//!
//! A register holds the channels of one output pixel. Of an output with one or three channels, as
//! the gradient of an image is, most lanes would do nothing. Here neighbouring pixels are the
//! channels of one wide pixel: it reads every column that one of them reads, with a weight of zero
//! where a pixel does not read it. Each sum has the same terms in the same order as pixel by pixel,
//! so the result is the same to the bit; only what is not finite spreads within a wide pixel.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::conv2d::direct::{self, Epilogue};
use crate::conv2d::microkernel::{MAX_VECTORS, Microkernels};
use crate::conv2d::packed_weights::PackedWeights;
use crate::conv2d::plan::{AxisPlan, Plan, StridePhase, Tap};
use crate::conv2d::{MAX_SCRATCH, dilated};
use crate::machine::shared::filled_chunks;

/// Register products that must be saved: of five, one.
const WORTH: f64 = 0.8;

/// A plan whose pixels are as wide as some of another's.
pub(super) struct WidePixels<'a> {
    narrow: &'a Plan,
    wide: Plan,
    /// Pixels in a wide one.
    pixels: usize,
    /// The shifts that a wide pixel reads.
    shifts: Range<isize>,
}

impl<'a> WidePixels<'a> {
    /// The widest pixels that pay, if any do.
    pub(super) fn of(plan: &'a Plan) -> Option<Self> {
        let axis = &plan.columns;
        let phases = axis.phases.len();
        let whole = axis.phases.first()?.stride == phases;
        if plan.groups != 1 || !whole || dilated::suits(plan) {
            return None;
        }
        let lanes = Microkernels::current().lanes;
        let widest = (MAX_VECTORS * lanes / plan.c_target).min(axis.target);
        let products = |pixels: usize| {
            let columns = shifts(axis, pixels).len();
            let registers = (pixels * plan.c_target).div_ceil(lanes);
            axis.target.div_ceil(pixels) * columns * registers
        };
        let counts = axis.phases.iter();
        let reads: usize = counts.map(|phase| phase.count * phase.taps.len()).sum();
        let narrow = reads * plan.c_target.div_ceil(lanes);
        let candidates = (1..=widest / phases).map(|times| times * phases);
        let pixels = candidates.min_by_key(|&pixels| products(pixels))?;
        if products(pixels) as f64 > WORTH * narrow as f64 {
            return None;
        }
        let this = Self::new(plan, pixels);
        (direct::least_scratch(&this.wide) <= MAX_SCRATCH).then_some(this)
    }

    fn new(narrow: &'a Plan, pixels: usize) -> Self {
        let axis = &narrow.columns;
        let shifts = shifts(axis, pixels);
        let taps = shifts.clone().enumerate();
        let taps = taps.map(|(index, shift)| Tap { shift, index });
        let phase = StridePhase {
            first: 0,
            stride: 1,
            count: axis.target.div_ceil(pixels),
            taps: taps.collect(),
        };
        let kernel_rows = narrow.taps / narrow.kernel_columns;
        let taps = kernel_rows * shifts.len();
        let wide = Plan {
            columns: AxisPlan {
                source: axis.source,
                target: phase.count,
                step: pixels / axis.phases.len() * axis.step,
                phases: vec![phase],
            },
            c_target: narrow.c_target * pixels,
            source_stride: taps,
            target_stride: narrow.c_source * taps,
            group_stride: narrow.c_target * pixels * narrow.c_source * taps,
            kernel_columns: shifts.len(),
            taps,
            ..narrow.clone()
        };
        Self {
            narrow,
            wide,
            pixels,
            shifts,
        }
    }

    /// The target of the narrow plan, from its weight in PyTorch's order.
    pub(super) fn convolve(
        &self,
        source: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Vec<f32> {
        let weights = PackedWeights::new(&self.wide, &self.weight(weight));
        let bias = bias.map(|bias| bias.repeat(self.pixels));
        let epilogue = Epilogue::bias(bias.as_deref());
        let target = direct::convolve(&self.wide, source, &weights, epilogue);
        let row = self.narrow.columns.target * self.narrow.c_target;
        let wide_row = self.wide.columns.target * self.wide.c_target;
        if row == wide_row {
            return target;
        }
        let fill = |start: usize, to: &mut [MaybeUninit<f32>]| {
            let from = &target[start / row * wide_row..];
            to.iter_mut().zip(from).for_each(|(to, from)| {
                to.write(*from);
            });
        };
        let rows = target.len() / wide_row;
        // SAFETY: a chunk is a row, which is shorter than a row of wide pixels.
        unsafe { filled_chunks(rows * row, row, fill) }
    }

    /// The weight of a wide pixel: those of its pixels, each moved to the columns that it reads.
    fn weight(&self, weight: &[f32]) -> Vec<f32> {
        let Self { narrow, wide, .. } = self;
        let mut moved = vec![0.; wide.c_target * wide.target_stride];
        let kernel_rows = narrow.taps / narrow.kernel_columns;
        for (pixel, tap, shift) in reads(&narrow.columns, self.pixels) {
            let column = (shift - self.shifts.start) as usize;
            for channel in 0..narrow.c_target {
                let to = (pixel * narrow.c_target + channel) * wide.target_stride + column;
                let from = channel * narrow.target_stride + tap;
                for source in 0..narrow.c_source {
                    for row in 0..kernel_rows {
                        moved[to + source * wide.source_stride + row * wide.kernel_columns] =
                            weight[from
                                + source * narrow.source_stride
                                + row * narrow.kernel_columns];
                    }
                }
            }
        }
        moved
    }
}

/// Which pixel of a wide one reads through which tap of the kernel, and where, relative to what the
/// wide pixel's first one reads without a shift.
fn reads(axis: &AxisPlan, pixels: usize) -> impl Iterator<Item = (usize, usize, isize)> + '_ {
    let phases = axis.phases.len();
    (0..pixels).flat_map(move |pixel| {
        let moved = (pixel / phases * axis.step) as isize;
        let taps = axis.phases[pixel % phases].taps.iter();
        taps.map(move |tap| (pixel, tap.index, moved + tap.shift))
    })
}

/// From the least to the greatest shift that a wide pixel reads.
fn shifts(axis: &AxisPlan, pixels: usize) -> Range<isize> {
    let shifts = || reads(axis, pixels).map(|(_, _, shift)| shift);
    match (shifts().min(), shifts().max()) {
        (Some(least), Some(greatest)) => least..greatest + 1,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::conv2d::{Conv2dSpec, Convolution};
    use crate::{Padding, conv2d::direct::convolve};

    /// Input channels, width, kernel, stride and padding of a convolution whose input gradient has
    /// wide pixels.
    const CASES: [[usize; 5]; 9] = [
        [1, 28, 5, 1, 2],
        [1, 29, 5, 1, 0],
        [1, 3, 3, 1, 1],
        [2, 23, 3, 1, 1],
        [3, 32, 3, 1, 1],
        [3, 37, 7, 2, 3],
        [3, 36, 3, 2, 1],
        [3, 41, 11, 4, 2],
        [4, 17, 4, 3, 0],
    ];

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn wide_pixels_give_the_same_bits() {
        for [c_in, width, kernel, stride, padding] in CASES {
            let spec = Conv2dSpec {
                stride: [stride; 2],
                padding: Padding::all(padding),
                ..Conv2dSpec::default()
            };
            let weight = [6, c_in, kernel, kernel];
            let conv = Convolution::new([2, 13, width, c_in], &weight, None, &spec).unwrap();
            let plan = Plan::backward(&conv);
            let source = numbers(2 * conv.output_pixels() * 6, 1);
            let weight = numbers(weight.iter().product(), 2);
            let bias = numbers(c_in, 3);
            let narrow = convolve(
                &plan,
                &source,
                &PackedWeights::new(&plan, &weight),
                Epilogue::bias(Some(&bias)),
            );
            let pixels = 2 * plan.columns.phases.len();
            let all = [Some(WidePixels::new(&plan, pixels)), WidePixels::of(&plan)];
            for wide in all.into_iter().flatten() {
                assert_eq!(wide.convolve(&source, &weight, Some(&bias)), narrow);
            }
        }
    }

    #[test]
    fn images_have_wide_pixels_and_deep_maps_have_none() {
        let plan = |c_in| {
            let weight = [64, c_in, 3, 3];
            let spec = Conv2dSpec::default();
            let conv = Convolution::new([1, 34, 34, c_in], &weight, None, &spec).unwrap();
            Plan::backward(&conv)
        };
        for c_in in [1, 3] {
            assert!(WidePixels::of(&plan(c_in)).is_some_and(|wide| wide.pixels > 1));
        }
        for c_in in [16, 48, 64] {
            assert!(WidePixels::of(&plan(c_in)).is_none());
        }
    }
}
