//! The gradient of maps that regions overlap on: each row of a map is written by one task, which
//! adds what the regions give in their order, so that sums have the same order however many threads
//! there are.

use std::ops::Range;
use std::sync::Arc;

use super::regions::Regions;
use crate::autograd::element::Element;
use crate::machine::parallel::for_each_chunk;
use crate::machine::recycle::Buffer;

/// A row of bins that reads a row of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<T> {
    pub(super) roi: usize,
    /// The row of bins.
    pub(super) row: usize,
    /// How much it has of the map's row.
    pub(super) weight: T,
}

/// A row of bins, and the map's rows that it reads.
pub(super) struct BinRow<T> {
    pub(super) row: usize,
    pub(super) place: usize,
    pub(super) weight: T,
}

/// The gradient of each map that is wanted. `bin_rows` are those of a region; `add` adds to a map's
/// row, whose number comes with it, what a row of bins gives.
pub(super) fn gradients<T: Element>(
    regions: &Regions,
    wanted: &[bool],
    bin_rows: impl Fn(usize) -> Vec<BinRow<T>>,
    add: impl Fn(Reader<T>, usize, &mut [T]) + Sync,
) -> Vec<Option<Arc<Buffer<T>>>> {
    let mut readers: Vec<Vec<Vec<Reader<T>>>> = regions
        .levels
        .iter()
        .zip(wanted)
        .map(|(level, &wanted)| {
            let rows = if wanted {
                level.dims[0] * level.dims[1]
            } else {
                0
            };
            vec![Vec::new(); rows]
        })
        .collect();
    for (number, roi) in regions.rois.iter().enumerate() {
        if !wanted[roi.map] {
            continue;
        }
        let first = roi.image * regions.level(roi).dims[1];
        for BinRow { row, place, weight } in bin_rows(number) {
            readers[roi.map][first + place].push(Reader {
                roi: number,
                row,
                weight,
            });
        }
    }
    let levels = regions.levels.iter().zip(wanted).zip(&readers);
    levels
        .map(|((level, &wanted), readers)| {
            wanted.then(|| {
                let [_, height, width, channels] = level.dims;
                let len = width * channels;
                let mut gradient = vec![T::zero(); level.dims.iter().product()];
                for_each_chunk(&mut gradient, len, |first, gradient| {
                    let row = first / len;
                    for &reader in &readers[row] {
                        add(reader, row % height, gradient);
                    }
                });
                Buffer::shared(gradient)
            })
        })
        .collect()
}

/// The gradient of a bin's channels among those of all regions.
pub(super) fn bin(regions: &Regions, roi: usize, row: usize, column: usize) -> Range<usize> {
    let [rows, columns] = regions.output;
    let bin = (roi * rows + row) * columns + column;
    bin * regions.channels..(bin + 1) * regions.channels
}
