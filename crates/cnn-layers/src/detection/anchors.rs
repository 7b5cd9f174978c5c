//! Anchors at every place of feature maps (Ren et al. 2015, <https://arxiv.org/abs/1506.01497>,
//! section 3.1.1).

use super::{BoxEdges, MAX_BOXES, check_positive};
use crate::Error;

/// The anchors of each place of one feature map: every size with every ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct AnchorLevel {
    /// Square roots of the anchors' areas, in pixels of the image.
    pub sizes: Vec<f32>,
    /// Heights over widths.
    pub aspect_ratios: Vec<f32>,
}

impl AnchorLevel {
    /// The anchors around the origin, by ratio and then by size, with edges rounded to whole
    /// pixels.
    fn around_origin(&self) -> Vec<BoxEdges> {
        let of_ratio = |&ratio: &f32| {
            let tall = ratio.sqrt();
            let wide = 1. / tall;
            let around = move |&size: &f32| {
                let width = wide * size;
                let height = tall * size;
                [-width, -height, width, height].map(|edge| (edge / 2.).round_ties_even())
            };
            self.sizes.iter().map(around)
        };
        self.aspect_ratios.iter().flat_map(of_ratio).collect()
    }
}

/// Anchors as torchvision's `AnchorGenerator` has them: around the upper left corner of each cell of
/// a feature map's grid, with edges rounded to whole pixels, halves to the even one.
///
/// ```
/// use cnn_layers::detection::AnchorGenerator;
///
/// // One size for each of three levels, three ratios for all of them.
/// let generator = AnchorGenerator::pyramid(&[32., 64., 128.], &[0.5, 1., 2.])?;
/// assert_eq!(generator.anchors_per_place(), [3, 3, 3]);
/// let anchors = generator.generate([64, 96], &[[8, 12], [4, 6], [2, 3]])?;
/// assert_eq!(anchors[0].len(), 8 * 12 * 3);
/// assert_eq!(anchors[0][1], [-16., -16., 16., 16.]);
/// // The next place of the row lies 96 / 12 = 8 pixels to the right.
/// assert_eq!(anchors[0][4], [-8., -16., 24., 16.]);
/// # Ok::<(), cnn_layers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AnchorGenerator {
    around_origin: Vec<Vec<BoxEdges>>,
}

impl AnchorGenerator {
    /// A set of anchors for each feature map.
    ///
    /// # Errors
    /// If a size or a ratio is not a positive number.
    pub fn new(levels: &[AnchorLevel]) -> Result<Self, Error> {
        for level in levels {
            let sizes = level.sizes.iter().map(|size| ("sizes", size));
            let ratios = level.aspect_ratios.iter();
            let mut all = sizes.chain(ratios.map(|ratio| ("aspect_ratios", ratio)));
            all.try_for_each(|(name, &value)| check_positive(name, f64::from(value)))?;
        }
        let around_origin = levels.iter().map(AnchorLevel::around_origin);
        Ok(Self {
            around_origin: around_origin.collect(),
        })
    }

    /// One size for each feature map, with the same ratios: Faster R-CNN's on a pyramid.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn pyramid(sizes: &[f32], aspect_ratios: &[f32]) -> Result<Self, Error> {
        let level = |&size: &f32| AnchorLevel {
            sizes: vec![size],
            aspect_ratios: aspect_ratios.to_vec(),
        };
        Self::new(&sizes.iter().map(level).collect::<Vec<_>>())
    }

    /// How many anchors a place of each feature map has.
    pub fn anchors_per_place(&self) -> Vec<usize> {
        self.around_origin.iter().map(Vec::len).collect()
    }

    /// The anchors of each feature map, row by row, place by place, ratio by ratio, size by size.
    ///
    /// `image` and `grids` are `[rows, columns]` of the batch's images and of the feature maps.
    /// Places of a map are `⌊image / grid⌋` pixels apart along each axis.
    ///
    /// # Errors
    /// If there are not as many grids as levels, a grid is empty or larger than the image, or there
    /// are more than 2²⁸ anchors.
    pub fn generate(
        &self,
        image: [usize; 2],
        grids: &[[usize; 2]],
    ) -> Result<Vec<Vec<BoxEdges>>, Error> {
        check_grids(grids, self.around_origin.len())?;
        let levels = self.around_origin.iter().zip(grids);
        levels
            .map(|(around, &grid)| {
                check_grid(image, grid)?;
                check_boxes(grid, around.len())?;
                Ok(on_grid(around, image, grid))
            })
            .collect()
    }
}

fn on_grid(around: &[BoxEdges], image: [usize; 2], grid: [usize; 2]) -> Vec<BoxEdges> {
    let [rows, columns] = grid;
    let stride = [image[0] / rows, image[1] / columns];
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| [row, column]));
    let at = |[row, column]: [usize; 2]| {
        let x = (column * stride[1]) as f32;
        let y = (row * stride[0]) as f32;
        around
            .iter()
            .map(move |[x1, y1, x2, y2]| [x + x1, y + y1, x + x2, y + y2])
    };
    places.flat_map(at).collect()
}

/// A grid for each level.
pub(super) fn check_grids(grids: &[[usize; 2]], levels: usize) -> Result<(), Error> {
    if grids.len() == levels {
        return Ok(());
    }
    Err(Error::argument(
        "grids",
        format!("{} feature maps", grids.len()),
        format!("{levels}, one per level"),
    ))
}

fn check_grid(image: [usize; 2], grid: [usize; 2]) -> Result<(), Error> {
    let fits = |axis: usize| (1..=image[axis]).contains(&grid[axis]);
    if fits(0) && fits(1) {
        return Ok(());
    }
    Err(Error::argument(
        "grids",
        format!("{grid:?}"),
        format!("from 1 row and column up to the image's {image:?}"),
    ))
}

pub(super) fn check_boxes(grid: [usize; 2], per_place: usize) -> Result<(), Error> {
    let boxes = grid[0]
        .checked_mul(grid[1])
        .and_then(|places| places.checked_mul(per_place));
    if boxes.is_some_and(|boxes| boxes <= MAX_BOXES) {
        return Ok(());
    }
    Err(Error::argument(
        "grids",
        format!("{grid:?} with {per_place} boxes at each place"),
        format!("at most {MAX_BOXES} boxes"),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let generator = AnchorGenerator::pyramid(&[8., 16.], &[1.]).unwrap();
        let huge = [usize::MAX, usize::MAX];
        for (image, grids, expected) in [
            ([32, 32], vec![[4, 4]], "1 feature maps, expected 2"),
            ([32, 32], vec![[4, 4], [0, 2]], "found [0, 2]"),
            (
                [32, 32],
                vec![[4, 33], [2, 2]],
                "up to the image's [32, 32]",
            ),
            (huge, vec![huge, [2, 2]], "at most 268435456 boxes"),
        ] {
            let error = generator.generate(image, &grids).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        for (sizes, ratios) in [([0.], [1.]), ([f32::NAN], [1.]), ([8.], [-1.])] {
            assert!(AnchorGenerator::pyramid(&sizes, &ratios).is_err());
        }
        let nothing = AnchorGenerator::new(&[]).unwrap();
        assert!(nothing.generate([32, 32], &[]).unwrap().is_empty());
    }
}
