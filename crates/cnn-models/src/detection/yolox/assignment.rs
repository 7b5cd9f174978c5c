//! Which anchors learn which object: SimOTA, section 2.2 of the paper.

use cnn_layers::ImageObjects;
use cnn_layers::detection::iou;

use super::anchors::Anchor;

/// An anchor learns objects whose centre is nearer than this, in cells along each axis.
const REACH: f32 = 1.5;
/// An object has about as many anchors as its best ones, of which so many count, overlap it together.
const BEST: usize = 10;
/// What a pair costs whose centres are too far apart.
const FAR: f64 = 1e6;

/// What the head says of the anchors of an image.
pub(super) struct Predictions<'a> {
    /// Four numbers of each anchor.
    pub(super) boxes: &'a [f32],
    /// A logit of each anchor.
    pub(super) objectness: &'a [f32],
    /// As many logits of each anchor as there are classes.
    pub(super) classes: &'a [f32],
}

/// An anchor that learns an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Assigned {
    pub(super) anchor: usize,
    pub(super) object: usize,
    /// How well its box fits now, from 0 to 1.
    pub(super) iou: f32,
}

/// The anchors that learn an object of an image, in their order.
pub(super) fn assign(
    objects: &ImageObjects,
    predictions: &Predictions<'_>,
    anchors: &[Anchor],
) -> Vec<Assigned> {
    let count = objects.boxes.len();
    let candidates: Vec<Candidate> = anchors
        .iter()
        .enumerate()
        .filter_map(|(number, anchor)| Candidate::of(number, anchor, objects))
        .collect();
    if candidates.is_empty() {
        return Vec::new();
    }
    let pairs = Pairs::of(objects, predictions, anchors, &candidates);
    let mut chosen: Vec<Vec<usize>> = vec![Vec::new(); candidates.len()];
    for object in 0..count {
        for candidate in pairs.cheapest(object) {
            chosen[candidate].push(object);
        }
    }
    candidates
        .iter()
        .zip(chosen)
        .enumerate()
        .filter_map(|(place, (candidate, chosen))| {
            let object = match chosen[..] {
                [] => return None,
                [object] => object,
                // Of all objects the one that costs least, as the published code has it.
                _ => pairs.cheapest_object(place),
            };
            Some(Assigned {
                anchor: candidate.anchor,
                object,
                iou: pairs.iou(object, place),
            })
        })
        .collect()
}

/// An anchor that is near an object.
struct Candidate {
    anchor: usize,
    /// Whether it is near each object.
    is_near: Vec<bool>,
}

impl Candidate {
    fn of(number: usize, anchor: &Anchor, objects: &ImageObjects) -> Option<Self> {
        let [x, y] = anchor.centre();
        let reach = REACH * anchor.stride;
        let is_near = |[x1, y1, x2, y2]: &[f32; 4]| {
            let distance = f32::max((x - (x1 + x2) / 2.).abs(), (y - (y1 + y2) / 2.).abs());
            distance < reach
        };
        let is_near: Vec<bool> = objects.boxes.iter().map(is_near).collect();
        is_near.contains(&true).then_some(Self {
            anchor: number,
            is_near,
        })
    }
}

/// Costs and overlaps of objects and candidates, object by object.
struct Pairs {
    candidates: usize,
    costs: Vec<f64>,
    overlaps: Vec<f32>,
}

impl Pairs {
    fn of(
        objects: &ImageObjects,
        predictions: &Predictions<'_>,
        anchors: &[Anchor],
        candidates: &[Candidate],
    ) -> Self {
        let classes = predictions.classes.len() / predictions.objectness.len().max(1);
        let boxes: Vec<[f32; 4]> = candidates
            .iter()
            .map(|candidate| {
                let raw = &predictions.boxes[4 * candidate.anchor..][..4];
                anchors[candidate.anchor].decode(raw)
            })
            .collect();
        let scores: Vec<ClassCosts> = candidates
            .iter()
            .map(|candidate| {
                let logits = &predictions.classes[classes * candidate.anchor..][..classes];
                ClassCosts::of(logits, predictions.objectness[candidate.anchor])
            })
            .collect();
        let mut pairs = Self {
            candidates: candidates.len(),
            costs: Vec::with_capacity(objects.boxes.len() * candidates.len()),
            overlaps: Vec::with_capacity(objects.boxes.len() * candidates.len()),
        };
        for (object, edges) in objects.boxes.iter().enumerate() {
            let class = objects.classes[object];
            for (place, candidate) in candidates.iter().enumerate() {
                let overlap = iou(edges, &boxes[place]);
                let far = if candidate.is_near[object] { 0. } else { FAR };
                let of_box = -(f64::from(overlap) + 1e-8).ln();
                pairs
                    .costs
                    .push(scores[place].of_class(class) + 3. * of_box + far);
                pairs.overlaps.push(overlap);
            }
        }
        pairs
    }

    fn iou(&self, object: usize, candidate: usize) -> f32 {
        self.overlaps[object * self.candidates + candidate]
    }

    /// As many candidates of an object as its best ones overlap it together, rounded down, at least
    /// one: those that cost least.
    fn cheapest(&self, object: usize) -> Vec<usize> {
        let row = object * self.candidates..(object + 1) * self.candidates;
        let mut overlaps = self.overlaps[row.clone()].to_vec();
        overlaps.sort_by(|a, b| b.total_cmp(a));
        let together: f32 = overlaps.iter().take(BEST).sum();
        let count = (together as usize).max(1);
        let costs = &self.costs[row];
        let mut order: Vec<usize> = (0..self.candidates).collect();
        order.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        order.truncate(count);
        order
    }

    /// The object for which a candidate costs least.
    fn cheapest_object(&self, candidate: usize) -> usize {
        let objects = self.costs.len() / self.candidates;
        let cost = |object: usize| self.costs[object * self.candidates + candidate];
        (1..objects).fold(0, |best, object| {
            if cost(object) < cost(best) {
                object
            } else {
                best
            }
        })
    }
}

/// The binary cross-entropy of an anchor's scores of all classes for each true class.
struct ClassCosts {
    /// Where no class is the true one.
    none: f64,
    /// What a class adds where it is the true one.
    of_each: Vec<f64>,
}

impl ClassCosts {
    fn of(logits: &[f32], objectness: f32) -> Self {
        let of_object = sigmoid(objectness);
        // As PyTorch, whose logarithms end at −100.
        let log = |value: f64| value.ln().max(-100.);
        let terms = logits.iter().map(|&logit| {
            let score = (sigmoid(logit) * of_object).sqrt();
            (log(score), log(1. - score))
        });
        let terms: Vec<(f64, f64)> = terms.collect();
        Self {
            none: -terms.iter().map(|(_, wrong)| wrong).sum::<f64>(),
            of_each: terms.iter().map(|(right, wrong)| wrong - right).collect(),
        }
    }

    fn of_class(&self, class: usize) -> f64 {
        self.none + self.of_each[class]
    }
}

fn sigmoid(logit: f32) -> f64 {
    1. / (1. + (-f64::from(logit)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two objects around one anchor, which both choose: the second fits its box and its class.
    #[test]
    fn an_anchor_of_two_objects_learns_the_one_that_costs_less() {
        let anchors = Anchor::all(&[[1, 1], [0, 0], [0, 0]]);
        let fitting = [0., 0., 8., 8.];
        let objects = ImageObjects {
            boxes: vec![[-4., 0., 12., 8.], fitting],
            classes: vec![0, 1],
        };
        let predictions = Predictions {
            boxes: &anchors[0].encode(&fitting),
            objectness: &[2.],
            classes: &[-3., 3.],
        };
        let assigned = assign(&objects, &predictions, &anchors);
        assert_eq!((assigned.len(), assigned[0].object), (1, 1));
        assert!(assigned[0].iou > 0.999, "{assigned:?}");
    }
}
