//! Deforming images smoothly at random.

use cnn_core::Rng;

use super::Transform;
use super::arguments::{probability, within};
use crate::{BoundingBox, Error, Image, Sample};

/// Moves the pixels of image and mask by a smooth random field, as O. Ronneberger et al., "U-Net:
/// Convolutional Networks for Biomedical Image Segmentation" (2015, section 3.1), do.
///
/// At the nodes of a coarse grid, displacements in both directions are normal with a standard
/// deviation in pixels; between the nodes they are interpolated bicubically (Catmull and Rom). The
/// image is sampled bilinearly, and the mask takes its nearest pixels. What comes in from outside is
/// mirrored. The size stays.
///
/// A box becomes the smallest one around the pixels that come from inside it, and goes if none does.
/// No affine map tells where the points went: [`Origin::is_exact`](crate::Origin::is_exact) says so.
#[derive(Clone, Debug, PartialEq)]
pub struct ElasticDeformation {
    sigma: f64,
    nodes: usize,
    p: f64,
}

impl ElasticDeformation {
    /// Displacements with a standard deviation of `sigma` pixels at the nodes of a 3×3 grid, for
    /// every image. The paper has 10 for images of 512 pixels.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `sigma` is not in `0..=1000`.
    pub fn new(sigma: f64) -> Result<Self, Error> {
        Ok(Self {
            sigma: within("sigma", sigma, 0.0..=1000.0)?,
            nodes: 3,
            p: 1.0,
        })
    }

    /// The nodes of the grid along each side, the first and the last on the image's edges. Default
    /// 3.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if there are not 2 to 64.
    pub fn with_nodes(self, nodes: usize) -> Result<Self, Error> {
        if !(2..=64).contains(&nodes) {
            return Err(Error::argument("nodes", nodes, "2 to 64"));
        }
        Ok(Self { nodes, ..self })
    }

    /// How often an image is deformed. Default 1.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is not in `0..=1`.
    pub fn with_probability(self, p: f64) -> Result<Self, Error> {
        Ok(Self {
            p: probability("p", p)?,
            ..self
        })
    }
}

impl Transform for ElasticDeformation {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        if !rng.bernoulli(self.p) {
            return Ok(sample);
        }
        let grid = Grid::draw(self.nodes, self.sigma, rng);
        let sources = grid.sources(sample.image.height(), sample.image.width());
        let width = sample.image.width();
        sample.deformed(
            |image| bilinear(&image, &sources),
            |mask| nearest(&mask, &sources),
            |whole| hull_of(whole, &sources, width),
        )
    }
}

/// Displacements at the nodes, in the order row, column: along the row, and down.
struct Grid {
    nodes: usize,
    displacements: Vec<[f64; 2]>,
}

impl Grid {
    fn draw(nodes: usize, sigma: f64, rng: &mut Rng) -> Self {
        let mut displacement = || sigma * rng.normal();
        let displacements = (0..nodes * nodes).map(|_| [displacement(), displacement()]);
        Self {
            nodes,
            displacements: displacements.collect(),
        }
    }

    /// For each pixel the point, `[x, y]`, that it comes from.
    fn sources(&self, height: usize, width: usize) -> Vec<[f64; 2]> {
        let rows: Vec<Weights> = (0..height).map(|row| self.weights(row, height)).collect();
        let columns: Vec<Weights> = (0..width)
            .map(|column| self.weights(column, width))
            .collect();
        let mut sources = Vec::with_capacity(height * width);
        for (y, row) in rows.iter().enumerate() {
            for (x, column) in columns.iter().enumerate() {
                let [along, down] = self.at(row, column);
                sources.push([x as f64 + 0.5 + along, y as f64 + 0.5 + down]);
            }
        }
        sources
    }

    fn at(&self, rows: &Weights, columns: &Weights) -> [f64; 2] {
        let mut sum = [0.0; 2];
        for (row, row_weight) in rows {
            for (column, column_weight) in columns {
                let node = self.displacements[row * self.nodes + column];
                let weight = row_weight * column_weight;
                sum[0] += weight * node[0];
                sum[1] += weight * node[1];
            }
        }
        sum
    }

    /// The four nodes around a pixel along one axis, and how much each counts. Beyond the edge the
    /// nodes on it count again.
    fn weights(&self, pixel: usize, side: usize) -> Weights {
        let last = self.nodes - 1;
        let at = (pixel as f64 + 0.5) / side as f64 * last as f64;
        let node = (at as usize).min(last - 1);
        let t = at - node as f64;
        let weights = [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ];
        let nodes = [node.saturating_sub(1), node, node + 1, (node + 2).min(last)];
        [0, 1, 2, 3].map(|at| (nodes[at], weights[at]))
    }
}

type Weights = [(usize, f64); 4];

/// Takes the pixel under each point.
fn nearest(image: &Image, sources: &[[f64; 2]]) -> Result<Image, Error> {
    let pixels = sources.iter().map(|[x, y]| {
        let column = mirrored(x.floor() as i64, image.width());
        let row = mirrored(y.floor() as i64, image.height());
        image.bytes()[row * image.width() + column]
    });
    Image::from_pixels(image.height(), image.width(), 1, pixels.collect())
}

/// Blends the four pixels around each point.
fn bilinear(image: &Image, sources: &[[f64; 2]]) -> Result<Image, Error> {
    let channels = image.channels();
    let mut bytes = Vec::with_capacity(image.bytes().len());
    for [x, y] in sources {
        let x = x - 0.5;
        let y = y - 0.5;
        let right_weight = x - x.floor();
        let bottom_weight = y - y.floor();
        let column = x.floor() as i64;
        let row = y.floor() as i64;
        let corners = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(down, along)| {
            let column = mirrored(column + along, image.width());
            let row = mirrored(row + down, image.height());
            (row * image.width() + column) * channels
        });
        for channel in 0..channels {
            let [a, b, c, d] = corners.map(|start| f64::from(image.bytes()[start + channel]));
            let upper = a + right_weight * (b - a);
            let lower = c + right_weight * (d - c);
            bytes.push((upper + bottom_weight * (lower - upper)).round_ties_even() as u8);
        }
    }
    Image::from_pixels(image.height(), image.width(), channels, bytes)
}

/// The pixel that a place stands for if the image is mirrored at its edges again and again.
fn mirrored(place: i64, side: usize) -> usize {
    let period = 2 * side as i64;
    let inside = place.rem_euclid(period);
    inside.min(period - 1 - inside) as usize
}

/// The smallest box around the pixels whose sources lie in a box.
fn hull_of(whole: &BoundingBox, sources: &[[f64; 2]], width: usize) -> Option<BoundingBox> {
    let [x_min, y_min, x_max, y_max] = whole.edges().map(f64::from);
    let is_inside = |[x, y]: &[f64; 2]| (x_min..x_max).contains(x) && (y_min..y_max).contains(y);
    let mut hull: Option<[usize; 4]> = None;
    for (at, _) in sources
        .iter()
        .enumerate()
        .filter(|(_, point)| is_inside(point))
    {
        let x = at % width;
        let y = at / width;
        let [left, top, right, bottom] = hull.unwrap_or([x, y, x + 1, y + 1]);
        hull = Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)]);
    }
    hull.map(|edges| BoundingBox::new(edges.map(|edge| edge as f32), whole.class))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::Mask;
    use cnn_core::Key;

    const HEIGHT: usize = 40;
    const WIDTH: usize = 60;

    /// Squares of three classes; the image shows the class numbers.
    fn sample() -> Sample {
        let class = |at: usize| (at % WIDTH / 20 + at / WIDTH / 20) as u8 % 3;
        let classes: Vec<u8> = (0..HEIGHT * WIDTH).map(class).collect();
        let shown = classes.iter().map(|class| 100 * class).collect();
        let image = Image::from_pixels(HEIGHT, WIDTH, 1, shown).unwrap();
        let mask = Mask::new(HEIGHT, WIDTH, classes).unwrap();
        let whole = BoundingBox::new([20.0, 0.0, 40.0, 20.0], 7);
        Sample::new(image, None)
            .with_boxes(vec![whole])
            .with_mask(mask)
            .unwrap()
    }

    #[test]
    fn without_displacement_nothing_changes_but_what_is_said_of_the_origin() {
        let still = ElasticDeformation::new(0.0).unwrap();
        let found = still.apply(sample(), &mut Key::new(0).rng()).unwrap();
        let expected = sample();
        assert_eq!(found.image, expected.image);
        assert_eq!((found.mask, found.boxes), (expected.mask, expected.boxes));
        assert!(expected.origin.is_exact() && !found.origin.is_exact());
    }

    #[test]
    fn equal_displacements_are_a_shift() {
        let grid = Grid {
            nodes: 4,
            displacements: vec![[3.0, -2.0]; 16],
        };
        let sources = grid.sources(5, 7);
        for (at, [x, y]) in sources.iter().enumerate() {
            assert!((x - (at % 7) as f64 - 3.5).abs() < 1e-12);
            assert!((y - (at / 7) as f64 + 1.5).abs() < 1e-12);
        }
    }

    #[test]
    fn image_mask_and_boxes_go_the_same_way() {
        let elastic = ElasticDeformation::new(4.0).unwrap();
        let found = elastic.apply(sample(), &mut Key::new(2).rng()).unwrap();
        let mask = found.mask.unwrap();
        assert_ne!(mask, sample().mask.unwrap());
        // Away from borders, where the image is blended, it shows the class.
        let alike = |(value, class): (&u8, &u8)| *value == 100 * class;
        let same = found
            .image
            .bytes()
            .iter()
            .zip(mask.bytes())
            .filter(|&pair| alike(pair));
        let same = same.count();
        assert!(same > 2000, "{same}");
        let [only] = found.boxes[..] else {
            panic!("{:?}", found.boxes)
        };
        let centre = 10 * WIDTH + 30;
        assert_eq!(mask.bytes()[centre], 1);
        assert!(only.x_min < 30.0 && only.x_max > 30.0 && only.class == 7);
        let moved: f32 = only
            .edges()
            .iter()
            .zip([20.0, 0.0, 40.0, 20.0])
            .map(|(a, b)| (a - b).abs())
            .sum();
        assert!(moved > 0.0 && moved < 40.0, "{only:?}");
    }

    #[test]
    fn places_outside_are_mirrored() {
        let found: Vec<usize> = (-5..8).map(|place| mirrored(place, 3)).collect();
        assert_eq!(found, [1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
    }

    #[test]
    fn bad_arguments_are_named() {
        assert!(ElasticDeformation::new(f64::NAN).is_err());
        let elastic = ElasticDeformation::new(10.0).unwrap();
        assert!(elastic.clone().with_nodes(1).is_err());
        assert!(elastic.with_probability(1.5).is_err());
    }
}
