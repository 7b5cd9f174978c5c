//! Which place of which level learns which object.

use cnn_layers::ImageObjects;
use cnn_layers::detection::BoxEdges;

/// How far a place may lie from the centre of its object along each axis, in sides of its anchor.
const RADIUS: f32 = 1.5;
/// The sides of an anchor that the farthest edge of an object lies away from its places: more than
/// the first and less than the second. The finest level takes all that are nearer, the coarsest all
/// that are farther.
const REACH: [f32; 2] = [4., 8.];

/// The object of each place, level by level, the anchors of which are squares around it: of those
/// that it lies within, near the centre, and whose size is the level's, the smallest.
pub(super) fn assign(levels: &[Vec<BoxEdges>], objects: &ImageObjects) -> Vec<Option<usize>> {
    let last = levels.len().saturating_sub(1);
    let of_level = |(level, anchors): (usize, &Vec<BoxEdges>)| {
        let nearest = if level == 0 { 0. } else { REACH[0] };
        let farthest = if level == last {
            f32::INFINITY
        } else {
            REACH[1]
        };
        let of_anchor = move |anchor: &BoxEdges| {
            Place::new(anchor, [nearest, farthest]).smallest_of(&objects.boxes)
        };
        anchors.iter().map(of_anchor).collect::<Vec<_>>()
    };
    levels.iter().enumerate().flat_map(of_level).collect()
}

/// A place, and the objects that it can learn.
struct Place {
    centre: [f32; 2],
    /// How far from it the centre of an object may be along each axis.
    radius: f32,
    /// How far from it the farthest edge of an object is.
    reach: [f32; 2],
}

impl Place {
    fn new([x1, y1, x2, y2]: &BoxEdges, reach: [f32; 2]) -> Self {
        let side = x2 - x1;
        Self {
            centre: [(x1 + x2) / 2., (y1 + y2) / 2.],
            radius: RADIUS * side,
            reach: reach.map(|sides| sides * side),
        }
    }

    /// The first of the smallest boxes that it can learn.
    fn smallest_of(&self, boxes: &[BoxEdges]) -> Option<usize> {
        let numbers = (0..boxes.len()).filter(|&number| self.can_learn(&boxes[number]));
        numbers.min_by(|&a, &b| area(&boxes[a]).total_cmp(&area(&boxes[b])))
    }

    fn can_learn(&self, [x1, y1, x2, y2]: &BoxEdges) -> bool {
        let [x, y] = self.centre;
        let is_near =
            |place: f32, low: f32, high: f32| (place - (low + high) / 2.).abs() < self.radius;
        let distances = [x - x1, y - y1, x2 - x, y2 - y];
        let farthest = distances.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let [low, high] = self.reach;
        is_near(x, *x1, *x2)
            && is_near(y, *y1, *y2)
            && distances.into_iter().all(|distance| distance > 0.)
            && farthest > low
            && farthest < high
    }
}

fn area([x1, y1, x2, y2]: &BoxEdges) -> f32 {
    (x2 - x1) * (y2 - y1)
}

/// How near a place is to the centre of its object, from 0 at an edge to 1:
/// `√(min(l, r) / max(l, r) · min(t, b) / max(t, b))` of the distances of a box's edges from the
/// centre of an anchor in it (Tian et al. 2019, equation 3).
pub(super) fn centreness(edges: &BoxEdges, anchor: &BoxEdges) -> f32 {
    let share = |axis: usize| {
        let place = (f64::from(anchor[axis]) + f64::from(anchor[axis + 2])) / 2.;
        let before = place - f64::from(edges[axis]);
        let behind = f64::from(edges[axis + 2]) - place;
        before.min(behind) / before.max(behind)
    };
    (share(0) * share(1)).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Anchors of a side around places that are as far apart, in one row.
    fn row(side: f32, places: usize, y: f32) -> Vec<BoxEdges> {
        let half = side / 2.;
        let at = |place: usize| {
            let x = place as f32 * side;
            [x - half, y - half, x + half, y + half]
        };
        (0..places).map(at).collect()
    }

    fn objects(boxes: &[BoxEdges]) -> ImageObjects {
        ImageObjects {
            boxes: boxes.to_vec(),
            classes: vec![0; boxes.len()],
        }
    }

    #[test]
    fn places_near_the_centre_learn_the_smallest_object_around_them() {
        let levels = [row(8., 9, 16.)];
        // The centre of the first lies at 32, 16, that of the second at 24, 16.
        let two = objects(&[[2., 0., 62., 32.], [14., 4., 34., 28.]]);
        let found = assign(&levels, &two);
        let [none, large, small] = [None, Some(0), Some(1)];
        // At 16, 24 and 32 the second, which is smaller; at 40 the first, whose centre is less than
        // 12 pixels away, where 48 is 16 away.
        let expected = [none, none, small, small, small, large, none, none, none];
        assert_eq!(found, expected);
        // A place on an edge is not in the box, and of two alike the first learns.
        let edges = objects(&[[24., 8., 40., 24.], [24., 8., 40., 24.]]);
        let found = assign(&levels, &edges);
        assert_eq!(found[3..6], [none, Some(0), none]);
    }

    #[test]
    fn each_level_has_objects_of_its_sizes() {
        let levels = [row(8., 17, 64.), row(16., 9, 64.), row(32., 5, 64.)];
        let learned = |width: f32| {
            let found = assign(&levels, &objects(&[[64. - width, 60., 64. + width, 68.]]));
            [0..17, 17..26, 26..31].map(|level| found[level].iter().any(Option::is_some))
        };
        assert_eq!(learned(20.), [true, false, false]);
        // The neighbours of the place in the middle are farther from an edge than it.
        assert_eq!(learned(63.), [true, true, false]);
        assert_eq!(learned(64.), [false, true, false]);
        assert_eq!(learned(90.), [false, true, false]);
        assert_eq!(learned(127.), [false, true, true]);
        assert_eq!(learned(5000.), [false, false, true]);
    }

    #[test]
    fn centreness_falls_towards_the_edges() {
        let anchor = [6., 16., 14., 24.];
        assert_eq!(centreness(&[0., 10., 20., 30.], &anchor), 1.);
        // 2 and 8 along one axis, 5 and 5 along the other.
        assert_eq!(centreness(&[8., 15., 18., 25.], &anchor), 0.5);
    }
}
