//! RoI-Align: each bin of a region is a mean of samples between pixels (He et al. 2017,
//! <https://arxiv.org/abs/1703.06870>, section 3).

use std::sync::Arc;

use candle_core::Result;

use super::axis::{Sampling, Tap, taps};
use super::gather::{self, BinRow, Reader};
use super::regions::{Level, Regions, Roi, RoiMap, argument};
use crate::FeatureMap;
use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel::for_each_chunk;
use crate::machine::recycle::Buffer;
use crate::machine::simd::Simd;

const OP: &str = "roi_align";

/// Samples of a bin along an axis that may be asked for.
const MAX_SAMPLES: usize = 1 << 10;

/// How regions become maps of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoiAlignSpec {
    /// `[rows, columns]` of a region's map.
    pub output: [usize; 2],
    /// Samples of a bin along each axis, 1 to 1024; `None`, the default and torchvision's −1: as
    /// many as the bin has pixels of the map, rounded up.
    pub sampling_ratio: Option<usize>,
    /// Whether a pixel's centre lies at its number, so that regions are moved by half a pixel of the
    /// map. Default no, as in torchvision: then a region also has a pixel at least.
    pub aligned: bool,
}

impl RoiAlignSpec {
    /// Maps of so many rows and columns, with torchvision's defaults.
    pub const fn new(output: [usize; 2]) -> Self {
        Self {
            output,
            sampling_ratio: None,
            aligned: false,
        }
    }

    fn sampling(&self, axis: usize) -> Sampling {
        Sampling {
            bins: self.output[axis],
            samples: self.sampling_ratio,
            aligned: self.aligned,
        }
    }
}

/// Regions of maps at one size: a region is divided into bins, and a bin is the mean of samples
/// within it, each blended from four pixels. As torchvision's `roi_align`; samples more than a pixel
/// outside of the map are 0, and so is a bin without samples. Differentiable by the maps, not by the
/// boxes; sums of the gradient have a fixed order.
///
/// Positions are computed in the maps' element type, as there.
///
/// # Shapes
/// Maps `(N, H, W, C)` of one `C`, and `R` regions, to `(R, rows, columns, C)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_kernels::{FeatureMap, Roi, RoiAlignSpec, RoiMap, roi_align};
///
/// // One map of 4×4 pixels of an image of 8×8, with the numbers of its columns.
/// let columns = Tensor::new(&[0f32, 1., 2., 3.], &Device::Cpu)?;
/// let columns = columns.reshape((1, 1, 4, 1))?.broadcast_as((1, 4, 4, 1))?;
/// let map = FeatureMap::from_nhwc(&columns)?;
/// let maps = [RoiMap {
///     map: &map,
///     spatial_scale: 0.5,
/// }];
/// let roi = Roi {
///     map: 0,
///     image: 0,
///     edges: [2., 2., 6., 6.],
/// };
/// let ys = roi_align(&maps, &[roi], &RoiAlignSpec::new([1, 2]))?;
/// // Bins from column 1 to 2 and from 2 to 3 of the map, with a sample in their middle.
/// assert_eq!(ys.flatten()?.to_vec2::<f32>()?, [[1.5, 2.5]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// If there is no map, channels or element types differ, a map is empty, a spatial scale is not a
/// positive number, a region's map or image does not exist, its edges are not finite or more than
/// 1048576 pixels from the map, or a number of the spec is out of its range.
pub fn roi_align(maps: &[RoiMap<'_>], rois: &[Roi], spec: &RoiAlignSpec) -> Result<FeatureMap> {
    let regions = Regions::new(OP, maps, rois, spec.output)?;
    if let Some(samples) = spec.sampling_ratio
        && !(1..=MAX_SAMPLES).contains(&samples)
    {
        let expected = format!("1 to {MAX_SAMPLES}");
        return Err(argument(OP, "the sampling ratio", samples, expected).into());
    }
    let kernel = RoiAlign {
        regions,
        spec: *spec,
    };
    let maps: Vec<&FeatureMap> = maps.iter().map(|level| level.map).collect();
    apply(kernel, &maps, &[])
}

struct RoiAlign {
    regions: Regions,
    spec: RoiAlignSpec,
}

/// What the bins of a region read along both axes.
struct Taps<T> {
    rows: Vec<Vec<Tap<T>>>,
    columns: Vec<Vec<Tap<T>>>,
}

impl RoiAlign {
    fn taps<T: Element>(&self, roi: &Roi) -> Taps<T> {
        let Level {
            dims,
            spatial_scale,
        } = *self.regions.level(roi);
        let [rows, columns] = roi.spans();
        let [_, height, width, _] = dims;
        Taps {
            rows: taps(rows, spatial_scale, height, &self.spec.sampling(0)),
            columns: taps(columns, spatial_scale, width, &self.spec.sampling(1)),
        }
    }
}

impl Kernel for RoiAlign {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        self.regions.output_shape()
    }

    fn maps(&self) -> usize {
        self.regions.levels.len()
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn geometry(&self) -> String {
        self.regions.geometry()
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let regions = &self.regions;
        let channels = regions.channels;
        let len = regions.output_len();
        let mut ys = vec![T::zero(); regions.rois.len() * len];
        for_each_chunk(&mut ys, len, |first, ys| {
            let roi = &regions.rois[first / len];
            let xs = regions.image(inputs.maps(), roi);
            let width = regions.level(roi).dims[2];
            let taps = self.taps::<T>(roi);
            let mut pixels = Vec::new();
            let mut bins = ys.chunks_exact_mut(channels);
            for rows in &taps.rows {
                for (columns, bin) in taps.columns.iter().zip(&mut bins) {
                    pixels.clear();
                    pixels.extend(rows.iter().flat_map(|row| {
                        columns.iter().map(move |column| Tap {
                            place: (row.place * width + column.place) * channels,
                            weight: row.weight * column.weight,
                        })
                    }));
                    vectorised(WeightedSum {
                        xs,
                        pixels: &pixels,
                        sums: bin,
                    });
                }
            }
        });
        ys
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let regions = &self.regions;
        let channels = regions.channels;
        let taps: Vec<Taps<T>> = regions.rois.iter().map(|roi| self.taps(roi)).collect();
        let bin_rows = |roi: usize| {
            let rows = taps[roi].rows.iter().enumerate();
            let rows = rows.flat_map(|(row, taps)| {
                taps.iter().map(move |tap| BinRow {
                    row,
                    place: tap.place,
                    weight: tap.weight,
                })
            });
            rows.collect()
        };
        let grad: &[T] = &pass.grad;
        gather::gradients(
            regions,
            pass.wanted.all(),
            bin_rows,
            |reader: Reader<T>, _, row| {
                for (column, columns) in taps[reader.roi].columns.iter().enumerate() {
                    let bin = gather::bin(regions, reader.roi, reader.row, column);
                    for tap in columns {
                        vectorised(AddProduct {
                            terms: &grad[bin.clone()],
                            factor: reader.weight * tap.weight,
                            sums: &mut row[tap.place * channels..][..channels],
                        });
                    }
                }
            },
        )
    }
}

/// Channels that are summed at a time, in registers.
const SIDE_BY_SIDE: usize = 32;

/// `Σ weight · pixel` for each channel.
struct WeightedSum<'a, T> {
    xs: &'a [T],
    /// Where each pixel's channels begin.
    pixels: &'a [Tap<T>],
    sums: &'a mut [T],
}

impl<T: Element> Loop for WeightedSum<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let mut first = 0;
        let mut whole = self.sums.chunks_exact_mut(SIDE_BY_SIDE);
        for sums in &mut whole {
            let mut of_chunk = [T::zero(); SIDE_BY_SIDE];
            for tap in self.pixels {
                let xs = &self.xs[tap.place + first..][..SIDE_BY_SIDE];
                for (sum, &x) in of_chunk.iter_mut().zip(xs) {
                    *sum += tap.weight * x;
                }
            }
            sums.copy_from_slice(&of_chunk);
            first += SIDE_BY_SIDE;
        }
        let rest = whole.into_remainder();
        for tap in self.pixels {
            for (sum, &x) in rest.iter_mut().zip(&self.xs[tap.place + first..]) {
                *sum += tap.weight * x;
            }
        }
    }
}

/// Adds a multiple of values.
struct AddProduct<'a, T> {
    terms: &'a [T],
    factor: T,
    sums: &'a mut [T],
}

impl<T: Element> Loop for AddProduct<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (sum, &term) in self.sums.iter_mut().zip(self.terms) {
            *sum += self.factor * term;
        }
    }
}
