//! Boxes by their edges, and how much two of them overlap.

use super::check_count;
use crate::Error;

/// The edges of a box, `[x1, y1, x2, y2]`: left, top, right, bottom. Its width is `x2 − x1`.
pub type BoxEdges = [f32; 4];

/// A box by its centre and its size.
///
/// ```
/// use cnn_layers::detection::CentreSize;
///
/// let centre = CentreSize::from([10., 20., 40., 60.]);
/// assert_eq!((centre.x, centre.width), (25., 30.));
/// assert_eq!(centre.edges(), [10., 20., 40., 60.]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CentreSize {
    /// Of the centre, to the right.
    pub x: f32,
    /// Of the centre, downwards.
    pub y: f32,
    /// From the left edge to the right one.
    pub width: f32,
    /// From the upper edge to the lower one.
    pub height: f32,
}

impl CentreSize {
    /// The edges.
    pub fn edges(self) -> BoxEdges {
        let half_width = 0.5 * self.width;
        let half_height = 0.5 * self.height;
        [
            self.x - half_width,
            self.y - half_height,
            self.x + half_width,
            self.y + half_height,
        ]
    }
}

impl From<BoxEdges> for CentreSize {
    fn from([x1, y1, x2, y2]: BoxEdges) -> Self {
        let width = x2 - x1;
        let height = y2 - y1;
        Self {
            x: x1 + 0.5 * width,
            y: y1 + 0.5 * height,
            width,
            height,
        }
    }
}

/// `(x2 − x1)(y2 − y1)`.
pub fn box_area([x1, y1, x2, y2]: &BoxEdges) -> f32 {
    (x2 - x1) * (y2 - y1)
}

/// The part of a box within an image of so many rows and columns, as torchvision's
/// `clip_boxes_to_image`: edges are between 0 and the image's size, so a box outside becomes one of
/// no area at the image's edge.
///
/// ```
/// use cnn_layers::detection::clip_box;
///
/// assert_eq!(clip_box(&[-3., 5., 40., 90.], [64, 32]), [0., 5., 32., 64.]);
/// ```
pub fn clip_box([x1, y1, x2, y2]: &BoxEdges, [rows, columns]: [usize; 2]) -> BoxEdges {
    let x = |edge: &f32| edge.clamp(0., columns as f32);
    let y = |edge: &f32| edge.clamp(0., rows as f32);
    [x(x1), y(y1), x(x2), y(y2)]
}

/// How much of two boxes is common: the area of what is in both over the area of what is in either,
/// 0 where neither has an area.
///
/// ```
/// use cnn_layers::detection::iou;
///
/// assert_eq!(iou(&[0., 0., 2., 1.], &[1., 0., 3., 1.]), 1. / 3.);
/// assert_eq!(iou(&[0., 0., 1., 1.], &[5., 5., 6., 6.]), 0.);
/// ```
pub fn iou(a: &BoxEdges, b: &BoxEdges) -> f32 {
    Areas::new(a, b).iou()
}

/// A measure of how well two boxes agree; 1 for the same box that has an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BoxOverlap {
    /// Intersection over union, from 0 to 1; see [`iou`].
    #[default]
    Iou,
    /// IoU less the share of the smallest box around both that neither covers, above −1 (Rezatofighi
    /// et al. 2019, <https://arxiv.org/abs/1902.09630>).
    Giou,
    /// IoU less the squared distance of the centres over the squared diagonal of the smallest box
    /// around both, above −1 (Zheng et al. 2020, <https://arxiv.org/abs/1911.08287>, equation 6).
    Diou,
    /// DIoU less `α v`, where `v = (4 / π²) (atan(w/h) − atan(w'/h'))²` and
    /// `α = v / (1 − IoU + v)` (ibidem, equation 10).
    Ciou,
}

/// What torchvision adds to the denominators of DIoU and CIoU.
const EPS: f32 = 1e-7;

impl BoxOverlap {
    /// The measure of two boxes, as torchvision's `box_iou`, `generalized_box_iou`,
    /// `distance_box_iou` and `complete_box_iou`; only that 0 / 0 counts as 0, where these have NaN:
    /// two boxes without area have IoU 0.
    pub fn of(self, a: &BoxEdges, b: &BoxEdges) -> f32 {
        let areas = Areas::new(a, b);
        let iou = areas.iou();
        let hull = Hull::around(a, b);
        match self {
            Self::Iou => iou,
            Self::Giou => {
                let area = hull.width * hull.height;
                iou - quotient(area - areas.union, area)
            }
            Self::Diou => iou - hull.squared_distance(a, b),
            Self::Ciou => {
                let turn = slope_angle(a) - slope_angle(b);
                let v = 4. / std::f32::consts::PI.powi(2) * turn * turn;
                let alpha = v / (1. - iou + v + EPS);
                iou - hull.squared_distance(a, b) - alpha * v
            }
        }
    }
}

/// Areas of what two boxes have in common and together.
struct Areas {
    intersection: f32,
    union: f32,
}

impl Areas {
    fn new(a: &BoxEdges, b: &BoxEdges) -> Self {
        let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.);
        let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.);
        let intersection = width * height;
        Self {
            intersection,
            union: box_area(a) + box_area(b) - intersection,
        }
    }

    fn iou(&self) -> f32 {
        quotient(self.intersection, self.union)
    }
}

/// The smallest box around two others.
struct Hull {
    width: f32,
    height: f32,
}

impl Hull {
    fn around(a: &BoxEdges, b: &BoxEdges) -> Self {
        Self {
            width: (a[2].max(b[2]) - a[0].min(b[0])).max(0.),
            height: (a[3].max(b[3]) - a[1].min(b[1])).max(0.),
        }
    }

    /// Squared distance of the boxes' centres over the hull's squared diagonal.
    fn squared_distance(&self, a: &BoxEdges, b: &BoxEdges) -> f32 {
        let diagonal = self.width * self.width + self.height * self.height + EPS;
        let x = (a[0] + a[2]) / 2. - (b[0] + b[2]) / 2.;
        let y = (a[1] + a[3]) / 2. - (b[1] + b[3]) / 2.;
        (x * x + y * y) / diagonal
    }
}

/// `atan(width / height)`.
fn slope_angle([x1, y1, x2, y2]: &BoxEdges) -> f32 {
    quotient(x2 - x1, y2 - y1).atan()
}

/// A quotient, 0 for 0 / 0.
fn quotient(numerator: f32, denominator: f32) -> f32 {
    if numerator == 0. && denominator == 0. {
        0.
    } else {
        numerator / denominator
    }
}

/// How well each object agrees with each candidate: a row of numbers per object.
///
/// ```
/// use cnn_layers::detection::iou_matrix;
///
/// let objects = [[0., 0., 2., 2.]];
/// let candidates = [[0., 0., 2., 2.], [0., 0., 2., 1.], [5., 5., 6., 6.]];
/// let overlaps = iou_matrix(&objects, &candidates);
/// assert_eq!((overlaps.objects(), overlaps.candidates()), (1, 3));
/// assert_eq!(overlaps.row(0), [1., 0.5, 0.]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OverlapMatrix {
    values: Vec<f32>,
    objects: usize,
    candidates: usize,
}

impl OverlapMatrix {
    /// The measure of every pair.
    pub fn new(overlap: BoxOverlap, objects: &[BoxEdges], candidates: &[BoxEdges]) -> Self {
        let pairs = objects.iter().flat_map(|object| {
            candidates
                .iter()
                .map(move |candidate| overlap.of(object, candidate))
        });
        Self {
            values: pairs.collect(),
            objects: objects.len(),
            candidates: candidates.len(),
        }
    }

    /// Numbers of one's own, one row after another.
    ///
    /// # Errors
    /// If the rows are not one per object, or have not the same length.
    pub fn from_rows(rows: &[Vec<f32>]) -> Result<Self, Error> {
        let candidates = rows.first().map_or(0, Vec::len);
        rows.iter()
            .try_for_each(|row| check_count("numbers of an object", row.len(), candidates))?;
        Ok(Self {
            values: rows.concat(),
            objects: rows.len(),
            candidates,
        })
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// How many candidates there are.
    pub fn candidates(&self) -> usize {
        self.candidates
    }

    /// The measures of an object, one per candidate.
    ///
    /// # Panics
    /// If there is no such object.
    pub fn row(&self, object: usize) -> &[f32] {
        &self.values[object * self.candidates..][..self.candidates]
    }

    /// The rows of all objects.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        (0..self.objects).map(|object| self.row(object))
    }
}

/// The [`iou`] of each object with each candidate.
pub fn iou_matrix(objects: &[BoxEdges], candidates: &[BoxEdges]) -> OverlapMatrix {
    OverlapMatrix::new(BoxOverlap::Iou, objects, candidates)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use cnn_core::Key;

    const ALL: [BoxOverlap; 4] = [
        BoxOverlap::Iou,
        BoxOverlap::Giou,
        BoxOverlap::Diou,
        BoxOverlap::Ciou,
    ];

    fn boxes(count: usize) -> Vec<BoxEdges> {
        let mut rng = Key::new(3).stream("boxes").rng();
        let mut edge = |low, high| rng.uniform_in(low, high) as f32;
        (0..count)
            .map(|_| {
                let [x, y] = [edge(0., 50.), edge(0., 50.)];
                [x, y, x + edge(0.1, 30.), y + edge(0.1, 30.)]
            })
            .collect()
    }

    #[test]
    fn measures_are_symmetric_bounded_and_do_not_change_with_place_and_scale() {
        for pair in boxes(400).chunks_exact(2) {
            let moved = |edges: &BoxEdges, scale: f32| {
                let [x1, y1, x2, y2] = edges.map(|edge| edge * scale);
                [x1 + 64., y1 - 32., x2 + 64., y2 - 32.]
            };
            for overlap in ALL {
                let value = overlap.of(&pair[0], &pair[1]);
                assert!((value - overlap.of(&pair[1], &pair[0])).abs() < 1e-6);
                let elsewhere = overlap.of(&moved(&pair[0], 4.), &moved(&pair[1], 4.));
                assert!((value - elsewhere).abs() < 1e-3, "{value}, {elsewhere}");
                assert!((overlap.of(&pair[0], &pair[0]) - 1.).abs() < 1e-5);
                assert!(value <= 1. && value > -2.);
                assert!(value <= iou(&pair[0], &pair[1]));
            }
            assert!(iou(&pair[0], &pair[1]) >= 0.);
        }
    }

    #[test]
    fn boxes_without_area_have_no_overlap() {
        let point = [3., 3., 3., 3.];
        let line = [0., 3., 9., 3.];
        let whole = [0., 0., 9., 9.];
        for (a, b) in [(point, point), (point, whole), (line, whole), (line, point)] {
            assert_eq!(iou(&a, &b), 0.);
            for overlap in ALL {
                assert!(
                    overlap.of(&a, &b).is_finite(),
                    "{overlap:?} of {a:?}, {b:?}"
                );
            }
        }
    }

    #[test]
    fn a_matrix_without_objects_or_of_uneven_rows() {
        let overlaps = iou_matrix(&[], &boxes(3));
        assert_eq!((overlaps.objects(), overlaps.candidates()), (0, 3));
        let error = OverlapMatrix::from_rows(&[vec![0., 1.], vec![0.5]]).unwrap_err();
        assert!(
            error.to_string().contains("found 1 of them, expected 2"),
            "{error}"
        );
    }
}
