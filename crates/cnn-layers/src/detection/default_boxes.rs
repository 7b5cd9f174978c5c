//! The default boxes of SSD (Liu et al. 2016, <https://arxiv.org/abs/1512.02325>, section 2.2).

use super::anchors::{check_boxes, check_grids};
use super::{BoxEdges, check_positive};
use crate::Error;

/// How large default boxes are, as shares of the image's side.
#[derive(Debug, Clone, PartialEq)]
pub enum DefaultBoxScales {
    /// From the first feature map's to the last one's in equal steps, and 1 behind it; of one
    /// feature map alone these two. SSDLite's are 0.2 and 0.95.
    Between {
        /// Of the first feature map.
        least: f64,
        /// Of the last one.
        largest: f64,
    },
    /// One for each feature map, and one more. SSD300's of torchvision are 0.07, 0.15, 0.33, 0.51,
    /// 0.69, 0.87, 1.05.
    Each(Vec<f64>),
}

impl DefaultBoxScales {
    /// One for each level, and one more.
    fn of_levels(&self, levels: usize) -> Vec<f64> {
        match self {
            Self::Each(scales) => scales.clone(),
            Self::Between { least, largest } if levels < 2 => vec![*least, *largest],
            Self::Between { least, largest } => {
                let range = largest - least;
                let steps = levels as f64 - 1.;
                let scale = |level: usize| least + range * level as f64 / steps;
                (0..levels).map(scale).chain([1.]).collect()
            }
        }
    }
}

/// Default boxes as torchvision's `DefaultBoxGenerator` has them: around the centre of each cell of
/// a feature map's grid, a square of the map's scale, a square of the geometric mean of that and the
/// next map's, and two boxes for each aspect ratio.
///
/// ```
/// use cnn_layers::detection::DefaultBoxGenerator;
///
/// let ssd300 = DefaultBoxGenerator::ssd300();
/// assert_eq!(ssd300.boxes_per_place(), [4, 6, 6, 6, 4, 4]);
/// let grids = [38, 19, 10, 5, 3, 1].map(|side| [side, side]);
/// let boxes = ssd300.generate([300, 300], &grids)?;
/// assert_eq!(boxes.len(), 8732);
/// # Ok::<(), cnn_layers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DefaultBoxGenerator {
    /// Of each feature map, in both directions.
    aspect_ratios: Vec<Vec<f64>>,
    scales: Vec<f64>,
    steps: Option<Vec<usize>>,
    clip: bool,
}

impl DefaultBoxGenerator {
    /// Boxes for as many feature maps as there are lists of aspect ratios. Places divide the image
    /// evenly, and sizes are at most the image's.
    ///
    /// # Errors
    /// If a ratio or a scale is not a positive number, or scales are not one more than feature maps.
    pub fn new(aspect_ratios: &[Vec<f64>], scales: &DefaultBoxScales) -> Result<Self, Error> {
        let scales = scales.of_levels(aspect_ratios.len());
        let levels = aspect_ratios.len();
        if scales.len() != levels + 1 {
            return Err(Error::argument(
                "scales",
                format!("{} of them", scales.len()),
                format!("{}, one more than feature maps", levels + 1),
            ));
        }
        let ratios = aspect_ratios.iter().flatten();
        let ratios = ratios.map(|ratio| ("aspect_ratios", ratio));
        let mut all = ratios.chain(scales.iter().map(|scale| ("scales", scale)));
        all.try_for_each(|(name, &value)| check_positive(name, value))?;
        Ok(Self {
            aspect_ratios: aspect_ratios.to_vec(),
            scales,
            steps: None,
            clip: true,
        })
    }

    /// Those of torchvision's `ssd300_vgg16`.
    pub fn ssd300() -> Self {
        let few = vec![2.];
        let many = vec![2., 3.];
        Self {
            aspect_ratios: [&few, &many, &many, &many, &few, &few]
                .map(Vec::clone)
                .to_vec(),
            scales: vec![0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
            steps: Some(vec![8, 16, 32, 64, 100, 300]),
            clip: true,
        }
    }

    /// Those of torchvision's `ssdlite320_mobilenet_v3_large`.
    pub fn ssdlite320() -> Self {
        let scales = DefaultBoxScales::Between {
            least: 0.2,
            largest: 0.95,
        };
        Self {
            aspect_ratios: vec![vec![2., 3.]; 6],
            scales: scales.of_levels(6),
            steps: None,
            clip: true,
        }
    }

    /// How many pixels the places of each feature map are apart, in place of the image's size over
    /// the grid's.
    ///
    /// # Errors
    /// If there are not as many as feature maps, or one is 0.
    pub fn with_steps(self, steps: &[usize]) -> Result<Self, Error> {
        let levels = self.aspect_ratios.len();
        if steps.len() != levels || steps.contains(&0) {
            return Err(Error::argument(
                "steps",
                format!("{steps:?}"),
                format!("{levels} numbers above 0, one per feature map"),
            ));
        }
        Ok(Self {
            steps: Some(steps.to_vec()),
            ..self
        })
    }

    /// Whether sizes are at most the image's; default yes. Edges may be outside in either case.
    #[must_use]
    pub fn with_clip(self, clip: bool) -> Self {
        Self { clip, ..self }
    }

    /// How many boxes a place of each feature map has.
    pub fn boxes_per_place(&self) -> Vec<usize> {
        let ratios = self.aspect_ratios.iter();
        ratios.map(|ratios| 2 + 2 * ratios.len()).collect()
    }

    /// The boxes of all feature maps, one map after another, row by row, place by place, in pixels.
    ///
    /// `image` and `grids` are `[rows, columns]` of the batch's images and of the feature maps.
    ///
    /// # Errors
    /// If there are not as many grids as feature maps, a grid or the image is empty, or there are
    /// more than 2²⁸ boxes.
    pub fn generate(
        &self,
        image: [usize; 2],
        grids: &[[usize; 2]],
    ) -> Result<Vec<BoxEdges>, Error> {
        check_grids(grids, self.aspect_ratios.len())?;
        if image.contains(&0) {
            return Err(Error::argument("image", format!("{image:?}"), "1 or more"));
        }
        let mut boxes = Vec::new();
        for (level, &grid) in grids.iter().enumerate() {
            if grid.contains(&0) {
                return Err(Error::argument("grids", format!("{grid:?}"), "1 or more"));
            }
            let sizes = self.sizes(level);
            check_boxes(grid, sizes.len())?;
            self.extend(&mut boxes, level, image, grid, &sizes);
        }
        Ok(boxes)
    }

    /// Width and height of the boxes of each place, as shares of the image's.
    fn sizes(&self, level: usize) -> Vec<Size> {
        let scale = self.scales[level];
        let between = (scale * self.scales[level + 1]).sqrt();
        let square = |side| Size::new(side, side, self.clip);
        let of_ratio = |ratio: &f64| {
            let root = ratio.sqrt();
            let long = scale * root;
            let short = scale / root;
            [
                Size::new(long, short, self.clip),
                Size::new(short, long, self.clip),
            ]
        };
        let ratios = self.aspect_ratios[level].iter().flat_map(of_ratio);
        [square(scale), square(between)]
            .into_iter()
            .chain(ratios)
            .collect()
    }

    fn extend(
        &self,
        boxes: &mut Vec<BoxEdges>,
        level: usize,
        image: [usize; 2],
        grid: [usize; 2],
        sizes: &[Size],
    ) {
        let places = |axis: usize| match &self.steps {
            Some(steps) => (image[axis] as f64 / steps[level] as f64) as f32,
            None => grid[axis] as f32,
        };
        let [rows, columns] = [places(0), places(1)];
        let [height, width] = image.map(|side| side as f32);
        for row in 0..grid[0] {
            let y = (row as f32 + 0.5) / rows;
            for column in 0..grid[1] {
                let x = (column as f32 + 0.5) / columns;
                boxes.extend(sizes.iter().map(|size| {
                    let half_width = 0.5 * size.width;
                    let half_height = 0.5 * size.height;
                    [
                        (x - half_width) * width,
                        (y - half_height) * height,
                        (x + half_width) * width,
                        (y + half_height) * height,
                    ]
                }));
            }
        }
    }
}

/// Shares of the image's width and height.
struct Size {
    width: f32,
    height: f32,
}

impl Size {
    fn new(width: f64, height: f64, clip: bool) -> Self {
        let most = if clip { 1. } else { f32::INFINITY };
        Self {
            width: (width as f32).min(most),
            height: (height as f32).min(most),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_cannot_be_is_named() {
        let between = DefaultBoxScales::Between {
            least: 0.2,
            largest: 0.9,
        };
        let each = |scales: &[f64]| DefaultBoxScales::Each(scales.to_vec());
        for (ratios, scales, expected) in [
            (vec![vec![2.]], each(&[0.1]), "1 of them, expected 2"),
            (vec![vec![0.]], between.clone(), "`aspect_ratios`"),
            (
                vec![vec![2.]],
                each(&[0.1, f64::NAN]),
                "`scales`: found NaN",
            ),
        ] {
            let error = DefaultBoxGenerator::new(&ratios, &scales).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        let generator = DefaultBoxGenerator::new(&[vec![2.], vec![]], &between).unwrap();
        assert_eq!(generator.boxes_per_place(), [4, 2]);
        assert!(generator.generate([9, 9], &[[3, 3]]).is_err());
        assert!(generator.generate([9, 9], &[[3, 3], [0, 1]]).is_err());
        assert!(generator.generate([0, 9], &[[3, 3], [1, 1]]).is_err());
        assert!(generator.clone().with_steps(&[3, 0]).is_err());
        assert!(generator.with_steps(&[3]).is_err());
    }
}
