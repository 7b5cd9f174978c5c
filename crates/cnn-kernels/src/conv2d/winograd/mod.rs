//! 3×3 convolution with stride 1 by Winograd's minimal filtering F(4×4, 3×3) in f32 (Lavin & Gray
//! 2015): 36 multiplications for 16 outputs instead of 144.
//!
//! A 6×6 tile of the input becomes 36 values per channel, which are multiplied by 36 matrices made
//! of the weights and become a 4×4 tile of the output. The transforms evaluate polynomials at 0,
//! ±1/√2, ±√2 and ∞: of the usual choices, those lose the least to rounding.
#![allow(unsafe_code)]

mod transforms;
mod weight_gradient;

use std::ops::Range;

pub(crate) use self::weight_gradient::{grad_weight, suits_gradient};

use self::transforms::{InputTransform, OutputTransform, WeightTransform};
use crate::activation::values::activate_rows;
use crate::conv2d::direct::{Epilogue, UNBOUNDED, equal_parts};
use crate::conv2d::joined::SourcePart;
use crate::conv2d::microkernel::{Microkernels, Multiply, Segment};
use crate::conv2d::packed_weights::{PackedWeights, Panel};
use crate::conv2d::plan::{AxisPlan, Plan};
use crate::machine::isa::vectorised;
use crate::machine::parallel;
use crate::machine::scratch::Scratch;
use crate::machine::shared::{Shared, Target, filled};
use crate::machine::simd::MAX_LANES;

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
    if !has_tiles(plan) {
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

/// Whether the plan is a 3×3 convolution with stride 1.
fn has_tiles(plan: &Plan) -> bool {
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
    plan.groups == 1 && axis(&plan.rows) && axis(&plan.columns)
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
                &[SourcePart::whole(plan, source)],
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

/// The same, from one map or several, written to a place that may be wider.
///
/// # Safety
/// The target has room for the plan's, and nobody else uses these channels meanwhile.
pub(crate) unsafe fn convolve_into(
    plan: &Plan,
    source: &[SourcePart],
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
        let tiles = TileGroup {
            plan,
            tiles,
            group: groups[task / divisions].clone(),
        };
        Task {
            tiles,
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
    tiles: TileGroup<'a>,
    panels: &'a [Panel],
    matrices: &'a Matrices,
    epilogue: Epilogue<'a>,
}

/// Some tiles of a plan.
#[derive(Clone)]
struct TileGroup<'a> {
    plan: &'a Plan,
    tiles: Tiles,
    group: Range<usize>,
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
    fn run(self, source: &[SourcePart], target: Target) {
        let TileGroup { plan, group, .. } = &self.tiles;
        let kernels = self.matrices.kernels;
        let Some((first, last)) = self.panels.first().zip(self.panels.last()) else {
            return;
        };
        let channels = last.first + last.channels - first.first;
        let inputs = Places::new(group.len(), plan.c_source);
        let outputs = Places::new(group.len(), channels);
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
            tiles: &self.tiles,
            source,
            channels: 0..plan.c_source,
            zeros,
            places: inputs,
            to: values,
        });
        let segments = [Segment {
            offset: 0,
            len: plan.c_source,
        }];
        let reads: Vec<usize> = (0..group.len()).map(|tile| tile * inputs.tile).collect();
        let writes: Vec<usize> = (0..group.len()).map(|tile| tile * outputs.tile).collect();
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
            let places = self.tiles.outputs(target.pixel);
            // SAFETY: these outputs belong to this task, and are written.
            unsafe {
                let start = target.start.at(first.first);
                activate_rows(activation, start, places.into_iter(), channels);
            }
        }
    }
}

impl TileGroup<'_> {
    /// Where each output pixel of the tiles begins in a target of pixels `pixel` floats apart.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::conv2d::Convolution;
    use crate::conv2d::direct;
    use crate::{Activation, Conv2dSpec, Padding};

    pub(super) fn numbers(len: usize, seed: u32) -> Vec<f32> {
        let value = |i: u32| {
            (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 8) as f32 / 2f32.powi(23) - 1.
        };
        (0..len as u32).map(value).collect()
    }

    /// A 3×3 convolution with stride 1.
    pub(super) fn convolution(xs: [usize; 4], c_out: usize, padding: Padding) -> Convolution {
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
            let conv = convolution(xs, c_out, padding);
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
        let forward = |xs, c_out, padding| Plan::forward(&convolution(xs, c_out, padding));
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
