//! The gradient of the weight of a 3×3 convolution with stride 1: the transposes of all transforms.
//!
//! What the forward pass multiplies, tile by tile, with the matrices made of the weights is here
//! multiplied with the tiles of the gradient and summed over the tiles: 36 sums for each pair of
//! channels, which become the gradients of nine taps at the end. A task sums some tiles for a block
//! of channels on both sides; the partial sums of the tasks are added in order. How many there are
//! depends on the shape alone.
#![allow(unsafe_code)]

use std::ops::Range;

use super::transforms::{GradTransform, InputTransform, TapTransform};
use super::{LEAST_TILES, MATRICES, Places, TileGroup, Tiles, WORKSPACE, has_tiles};
use crate::conv2d::Convolution;
use crate::conv2d::direct::equal_parts;
use crate::conv2d::joined::SourcePart;
use crate::conv2d::microkernel::{Correlate, Microkernels, PixelRun};
use crate::conv2d::packed_weights::Panel;
use crate::conv2d::plan::Plan;
use crate::conv2d::weight_gradient::{PARTIALS, PartialSums, TASK_WORK, TASKS};
use crate::machine::isa::vectorised;
use crate::machine::parallel;
use crate::machine::scratch::Scratch;
use crate::machine::shared::Shared;
use crate::machine::simd::MAX_LANES;

/// Channels of a block at most, on the side of the input and of the gradient: the sums of a block
/// should stay in a core's second-level cache.
const BLOCK_IN: usize = 128;
const BLOCK_OUT: usize = 64;

/// Whether the detour pays for the gradient of the weight.
pub(crate) fn suits_gradient(plan: &Plan) -> bool {
    if !has_tiles(plan) {
        return false;
    }
    // Cycles of one core, roughly, as for the forward pass.
    let tiles = Tiles::of(plan).count() as f64;
    let pixels = (plan.batch * plan.rows.target * plan.columns.target) as f64;
    let padded = |channels: usize| channels.next_multiple_of(MAX_LANES) as f64;
    let from = padded(plan.c_source);
    let to = padded(plan.c_target);
    let blocks_in = plan.c_source.div_ceil(BLOCK_IN) as f64;
    let blocks_out = plan.c_target.div_ceil(BLOCK_OUT) as f64;
    let transforms = tiles * (10. * from * blocks_out + 8. * to * blocks_in);
    let sums = MATRICES as f64 * plan.c_source as f64 * to;
    let detour = tiles * sums / 28. + transforms + 2. * sums;
    detour < 0.8 * (pixels * 9. * plan.c_source as f64 * to / 28.)
}

/// The gradient in PyTorch's order, of a plan that [`suits_gradient`].
pub(crate) fn grad_weight(conv: &Convolution, plan: &Plan, xs: &[f32], grad: &[f32]) -> Vec<f32> {
    let kernels = Microkernels::current();
    let tiles = Tiles::of(plan);
    let panels = Panel::split(1, plan.c_target, kernels.lanes);
    let vectors: usize = panels.iter().map(|panel| panel.vectors).sum();
    let floats = 9 * plan.c_source * vectors * kernels.lanes;
    let inputs: Vec<Range<usize>> = blocks(plan.c_source);
    let outputs: Vec<&[Panel]> = panels
        .chunks((BLOCK_OUT / (2 * kernels.lanes)).max(1))
        .collect();
    let multiply_adds = tiles.count() * MATRICES * plan.c_source * plan.c_target;
    let wanted = (multiply_adds / TASK_WORK).clamp(1, TASKS);
    let splits = wanted
        .div_ceil(inputs.len() * outputs.len())
        .min(tiles.count().max(1))
        .clamp(1, (PARTIALS / floats).max(1));
    let mut partials = Scratch::take(splits * floats);
    let sums = Shared::new(partials.as_mut_ptr());
    let blocks = inputs.len() * outputs.len();
    parallel::for_each(splits * blocks, |task| {
        let part = task / blocks;
        let block = Block {
            kernels,
            plan,
            tiles,
            part: part * tiles.count() / splits..(part + 1) * tiles.count() / splits,
            inputs: inputs[task % blocks / outputs.len()].clone(),
            panels: outputs[task % outputs.len()],
        };
        // SAFETY: each part has its own sums, each block its own channels of them.
        unsafe { block.run(xs, grad, sums.at(part * floats)) };
    });
    let all = PartialSums {
        kernels,
        conv,
        panels: &panels,
        start: sums,
        parts: splits,
        part: floats,
    };
    // SAFETY: the tasks have filled every partial sum.
    unsafe { all.added() }
}

/// Channels in blocks of whole registers, but for the last one.
fn blocks(channels: usize) -> Vec<Range<usize>> {
    let registers = channels.div_ceil(MAX_LANES);
    equal_parts(registers, BLOCK_IN / MAX_LANES)
        .map(|part| part.start * MAX_LANES..channels.min(part.end * MAX_LANES))
        .collect()
}

/// Some tiles for some channels on both sides.
struct Block<'a> {
    kernels: &'static Microkernels,
    plan: &'a Plan,
    tiles: Tiles,
    part: Range<usize>,
    /// Channels of the input.
    inputs: Range<usize>,
    /// Panels of channels of the gradient.
    panels: &'a [Panel],
}

impl Block<'_> {
    /// Puts the block's sums into `[panel][tap][input channel][lane]`, which begin at `to`.
    ///
    /// # Safety
    /// Nobody else uses the sums of these channels meanwhile.
    unsafe fn run(&self, xs: &[f32], grad: &[f32], to: *mut f32) {
        let Self { kernels, plan, .. } = *self;
        let Some((first, last)) = self.panels.first().zip(self.panels.last()) else {
            return;
        };
        let lanes = kernels.lanes;
        let depth = self.inputs.len();
        let channels = first.first..last.first + last.channels;
        let width = (last.vectors_before + last.vectors - first.vectors_before) * lanes;
        let most = (WORKSPACE / (MATRICES * (depth + width))).max(LEAST_TILES);
        let groups: Vec<Range<usize>> = equal_parts(self.part.len(), most)
            .map(|group| self.part.start + group.start..self.part.start + group.end)
            .collect();
        let largest = groups.iter().map(Range::len).max().unwrap_or(0);
        let inputs = Places::new(largest, depth);
        let grads = Places::new(largest, width);
        let matrix = depth * width;
        let room = MATRICES * (inputs.matrix + grads.matrix + matrix) + plan.c_source;
        let mut buffer = Scratch::take(room + MAX_LANES);
        let values = buffer.as_mut_ptr();
        // SAFETY: the buffer has room for inputs, gradients, sums, and a pixel of zeros.
        unsafe {
            let gradients = values.add(MATRICES * inputs.matrix);
            let sums = gradients.add(MATRICES * grads.matrix);
            let zeros = sums.add(MATRICES * matrix);
            zeros.write_bytes(0, plan.c_source);
            if groups.is_empty() {
                sums.write_bytes(0, MATRICES * matrix);
            }
            for (number, group) in groups.iter().enumerate() {
                let tiles = TileGroup {
                    plan,
                    tiles: self.tiles,
                    group: group.clone(),
                };
                vectorised(InputTransform {
                    tiles: &tiles,
                    source: &[SourcePart::whole(plan, xs)],
                    channels: self.inputs.clone(),
                    zeros,
                    places: inputs,
                    to: values,
                });
                vectorised(GradTransform {
                    tiles: &tiles,
                    grad,
                    channels: channels.clone(),
                    places: grads,
                    to: gradients,
                });
                let products = Products {
                    values,
                    inputs,
                    gradients,
                    grads,
                    sums,
                    matrix,
                    tiles: group.len(),
                    accumulate: number > 0,
                };
                self.add(&products);
            }
            for panel in self.panels {
                let before = (panel.vectors_before - first.vectors_before) * lanes * depth;
                let panel_width = panel.vectors * lanes;
                let start = panel.vectors_before * lanes * 9 * plan.c_source;
                vectorised(TapTransform {
                    from: sums.add(before),
                    len: matrix,
                    width: depth * panel_width,
                    to: to.add(start + self.inputs.start * panel_width),
                    taps: plan.c_source * panel_width,
                });
            }
        }
    }

    /// Adds the products of a group of tiles to the sums, `[matrix][panel][input channel][lane]`.
    ///
    /// # Safety
    /// All places lie in the buffer.
    unsafe fn add(&self, products: &Products) {
        let kernels = self.kernels;
        let lanes = kernels.lanes;
        let depth = self.inputs.len();
        let before = self.panels.first().map_or(0, |panel| panel.vectors_before);
        let channels: Vec<usize> = (0..depth).collect();
        let runs = [PixelRun {
            start: 0,
            pixels: products.tiles,
        }];
        for matrix in 0..MATRICES {
            for panel in self.panels {
                let lane = (panel.vectors_before - before) * lanes;
                let width = panel.vectors * lanes;
                for values in equal_parts(depth, kernels.rows(panel.vectors)) {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let start = matrix * products.matrix + lane * depth + values.start * width;
                        let correlate = Correlate {
                            a: products.values.add(matrix * products.inputs.matrix),
                            a_step: products.inputs.tile,
                            runs: &runs,
                            values: &channels[values],
                            b: products
                                .gradients
                                .add(matrix * products.grads.matrix + lane),
                            b_step: products.grads.tile,
                            c: products.sums.add(start),
                            accumulate: products.accumulate,
                            ahead: std::ptr::null(),
                        };
                        kernels.correlate(panel.vectors, &correlate);
                    }
                }
            }
        }
    }
}

/// The transformed tiles of a group, and the sums of their products.
struct Products {
    values: *const f32,
    inputs: Places,
    gradients: *const f32,
    grads: Places,
    sums: *mut f32,
    /// Floats of the sums of a matrix.
    matrix: usize,
    tiles: usize,
    accumulate: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Padding;
    use crate::conv2d::weight_gradient;
    use crate::conv2d::winograd::tests::{convolution, numbers};

    /// Sums in f64, pixel by pixel, and as the direct way has them. Borders, tiles that are cut,
    /// channels that fill no register, several blocks and parts, no image at all.
    #[test]
    fn it_computes_the_sums_over_the_pixels() {
        let cases = [
            ([1, 4, 4, 1], 1, Padding::all(1)),
            ([2, 7, 9, 3], 5, Padding::all(1)),
            ([1, 3, 3, 16], 16, Padding::Valid),
            ([1, 14, 11, 33], 29, Padding::Valid),
            ([3, 13, 17, 40], 72, Padding::all(2)),
            ([2, 8, 5, 150], 20, Padding::symmetric(0, 1)),
            ([2, 30, 31, 270], 100, Padding::Same),
            ([5, 40, 40, 8], 24, Padding::all(1)),
            ([0, 6, 6, 4], 4, Padding::all(1)),
        ];
        for (xs, c_out, padding) in cases {
            let conv = convolution(xs, c_out, padding);
            let plan = Plan::forward(&conv);
            let [rows, columns] = [plan.rows.target, plan.columns.target];
            let grad = numbers(xs[0] * rows * columns * c_out, 2);
            let values = numbers(xs.iter().product(), 1);
            let found = grad_weight(&conv, &plan, &values, &grad);
            assert_eq!(found.len(), c_out * xs[3] * 9);
            let direct = weight_gradient::direct(&conv, &plan, &values, &grad);
            let scale = ((xs[0] * rows * columns) as f32).sqrt().max(1.);
            for (found, expected) in found.iter().zip(&direct) {
                assert!(
                    (found - expected).abs() < 4e-6 * scale,
                    "{xs:?}: {found} for {expected}"
                );
            }
            // One weight by its definition.
            let shift = |axis: &crate::conv2d::plan::AxisPlan| axis.phases[0].taps[2].shift;
            let (channel, output) = (xs[3] / 2, c_out / 2);
            let mut expected = 0f64;
            for image in 0..xs[0] {
                for row in 0..rows {
                    for column in 0..columns {
                        let y = row as isize + shift(&plan.rows);
                        let x = column as isize + shift(&plan.columns);
                        if !(0..xs[1] as isize).contains(&y) || !(0..xs[2] as isize).contains(&x) {
                            continue;
                        }
                        let pixel = (image * xs[1] + y as usize) * xs[2] + x as usize;
                        let of_grad = (image * rows + row) * columns + column;
                        expected += f64::from(values[pixel * xs[3] + channel])
                            * f64::from(grad[of_grad * c_out + output]);
                    }
                }
            }
            let found = f64::from(found[(output * xs[3] + channel) * 9 + 8]);
            assert!((found - expected).abs() < 4e-6 * f64::from(scale), "{xs:?}");
        }
    }

    #[test]
    fn it_suits_what_networks_repeat_and_nothing_else() {
        let plan = |xs, c_out| Plan::forward(&convolution(xs, c_out, Padding::all(1)));
        assert!(suits_gradient(&plan([8, 56, 56, 64], 64)));
        assert!(suits_gradient(&plan([4, 256, 256, 32], 16)));
        // A first layer, and few tiles for many sums.
        assert!(!suits_gradient(&plan([8, 224, 224, 3], 64)));
        assert!(!suits_gradient(&plan([1, 7, 7, 512], 512)));
    }
}
