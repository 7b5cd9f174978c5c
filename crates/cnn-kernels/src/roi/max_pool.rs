//! RoI max-pooling: each bin of a region is the largest of its pixels (Girshick 2015,
//! <https://arxiv.org/abs/1504.08083>, section 2.1).

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::Result;

use super::gather::{self, BinRow, Reader};
use super::regions::{Level, Regions, Roi, RoiMap, Span};
use crate::FeatureMap;
use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::machine::parallel;
use crate::machine::recycle::Buffer;

const OP: &str = "roi_max_pool";

/// Regions of maps at one size: edges are rounded to whole pixels of the map, the region is divided
/// into `output` = `[rows, columns]` bins, and a bin is the largest value of its pixels, 0 where all
/// of it lies outside of the map. As torchvision's `roi_pool`; but NaN wins over every number, as in
/// [`max_pool`](crate::max_pool). Differentiable by the maps, not by the boxes: the gradient goes to
/// the first of equal values, and sums of it have a fixed order.
///
/// # Shapes
/// Maps `(N, H, W, C)` of one `C`, and `R` regions, to `(R, rows, columns, C)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_kernels::{FeatureMap, Roi, RoiMap, roi_max_pool};
///
/// let columns = Tensor::new(&[0f32, 1., 2., 3.], &Device::Cpu)?.reshape((1, 1, 4, 1))?;
/// let map = FeatureMap::from_nhwc(&columns)?;
/// let maps = [RoiMap {
///     map: &map,
///     spatial_scale: 1.,
/// }];
/// let roi = Roi {
///     map: 0,
///     image: 0,
///     edges: [0., 0., 2., 0.],
/// };
/// // The last column counts: three pixels in two bins, which share the middle one.
/// let ys = roi_max_pool(&maps, &[roi], [1, 2])?;
/// assert_eq!(ys.flatten()?.to_vec2::<f32>()?, [[1., 2.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// If there is no map, channels or element types differ, a map is empty, a spatial scale is not a
/// positive number, a region's map or image does not exist, its edges are not finite or more than
/// 1048576 pixels from the map, or an output size is 0 or more than 1048576.
pub fn roi_max_pool(maps: &[RoiMap<'_>], rois: &[Roi], output: [usize; 2]) -> Result<FeatureMap> {
    let is_tracked = maps.iter().any(|level| level.map.node().is_some());
    let kernel = RoiMaxPool {
        regions: Regions::new(OP, maps, rois, output)?,
        keeps_places: is_tracked,
        places: OnceLock::new(),
    };
    let maps: Vec<&FeatureMap> = maps.iter().map(|level| level.map).collect();
    apply(kernel, &maps, &[])
}

struct RoiMaxPool {
    regions: Regions,
    /// Whether the forward pass sets `places`.
    keeps_places: bool,
    /// For each output the pixel that it comes from, numbered within its image, or [`NOWHERE`].
    places: OnceLock<Vec<u32>>,
}

/// Of a bin without pixels.
const NOWHERE: u32 = u32::MAX;

/// The pixels of each bin of a region along both axes.
struct Bins {
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
}

/// A region's output.
struct Pooled<T> {
    values: Vec<T>,
    places: Vec<u32>,
}

impl RoiMaxPool {
    fn bins<T: Element>(&self, roi: &Roi) -> Bins {
        let Level {
            dims,
            spatial_scale,
        } = *self.regions.level(roi);
        let [rows, columns] = roi.spans();
        let [_, height, width, _] = dims;
        Bins {
            rows: bins::<T>(rows, spatial_scale, height, self.regions.output[0]),
            columns: bins::<T>(columns, spatial_scale, width, self.regions.output[1]),
        }
    }

    fn pool<T: Element>(&self, roi: &Roi, xs: &[T]) -> Pooled<T> {
        let channels = self.regions.channels;
        let width = self.regions.level(roi).dims[2];
        let bins = self.bins::<T>(roi);
        let mut values = vec![T::zero(); self.regions.output_len()];
        let mut places = vec![NOWHERE; values.len()];
        let of_bin = channels.max(1);
        let places_of_bins = places.chunks_exact_mut(of_bin);
        let mut outputs = values.chunks_exact_mut(of_bin).zip(places_of_bins);
        for rows in &bins.rows {
            for (columns, (values, places)) in bins.columns.iter().zip(&mut outputs) {
                for row in rows.clone() {
                    for pixel in columns.clone().map(|column| row * width + column) {
                        let xs = &xs[pixel * channels..][..channels];
                        for ((best, place), &x) in values.iter_mut().zip(&mut *places).zip(xs) {
                            // No number is above NaN.
                            let wins = x > *best || x.partial_cmp(&x).is_none();
                            if *place == NOWHERE || wins {
                                *best = x;
                                *place = pixel as u32;
                            }
                        }
                    }
                }
            }
        }
        Pooled { values, places }
    }
}

/// The pixels of each bin along one axis.
fn bins<T: Element>(
    span: Span,
    spatial_scale: f64,
    input: usize,
    count: usize,
) -> Vec<Range<usize>> {
    let [first, last] = span
        .on_map::<T>(spatial_scale)
        .map(|edge| edge.to_f64().round());
    let size = (last - first + 1.).max(1.);
    let bin_size = T::from_f64(size) / T::from_f64(count as f64);
    let edge = |bin: usize| (T::from_f64(bin as f64) * bin_size).to_f64();
    // A cast stops at 0.
    let inside = |place: f64| ((place + first) as usize).min(input);
    let bin = |bin: usize| inside(edge(bin).floor())..inside(edge(bin + 1).ceil());
    (0..count).map(bin).collect()
}

impl Kernel for RoiMaxPool {
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
        let rois = &self.regions.rois;
        let pooled = parallel::map(rois.len(), |number| {
            let roi = &rois[number];
            self.pool(roi, self.regions.image(inputs.maps(), roi))
        });
        if self.keeps_places {
            let places = pooled.iter().flat_map(|pooled| &pooled.places);
            // The forward pass of an operation runs once.
            _ = self.places.set(places.copied().collect());
        }
        pooled
            .into_iter()
            .flat_map(|pooled| pooled.values)
            .collect()
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let regions = &self.regions;
        let places = self
            .places
            .get()
            .expect("the forward pass of a tracked input has run");
        let bin_rows = |roi: usize| {
            let bins = self.bins::<T>(&regions.rois[roi]);
            let rows = bins.rows.into_iter().enumerate();
            let rows = rows.flat_map(|(row, places)| {
                places.map(move |place| BinRow {
                    row,
                    place,
                    weight: T::one(),
                })
            });
            rows.collect()
        };
        let grad: &[T] = &pass.grad;
        gather::gradients(
            regions,
            pass.wanted.all(),
            bin_rows,
            |reader: Reader<T>, row, of_row| {
                let width = regions.level(&regions.rois[reader.roi]).dims[2];
                let pixels = row * width..(row + 1) * width;
                for column in 0..regions.output[1] {
                    let bin = gather::bin(regions, reader.roi, reader.row, column);
                    let outputs = places[bin.clone()].iter().zip(&grad[bin]);
                    for (channel, (&place, &grad)) in outputs.enumerate() {
                        let place = place as usize;
                        if pixels.contains(&place) {
                            of_row[(place - pixels.start) * regions.channels + channel] += grad;
                        }
                    }
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bins_overlap_end_at_the_map_and_have_a_pixel_at_least() {
        let bins = |start, end, count| bins::<f32>(Span { start, end }, 0.5, 6, count);
        // Pixels 1 to 4 of the map: rounded half away from zero.
        assert_eq!(bins(1., 8.9, 3), [1..3, 2..4, 3..5]);
        assert_eq!(bins(-3., 30., 2), [0..6, 6..6]);
        assert_eq!(bins(4., 4., 2), [2..3, 2..3]);
        assert_eq!(bins(-40., -20., 2), [0..0, 0..0]);
        assert_eq!(bins(40., 60., 2), [6..6, 6..6]);
    }
}
