//! Non-maximum suppression: of boxes that overlap, the one with the highest score stays.

use super::{BoxEdges, box_area, check_count, check_share};
use crate::Error;

/// The numbers of the boxes that stay, by score, the highest first and equal ones in their order.
///
/// From the highest score on, a box removes those with a lower one whose IoU with it is above
/// `iou_threshold`, as torchvision's `nms`: areas and quotients are computed in f32, so that also
/// what lies at the threshold is decided alike. Boxes without area neither remove nor are removed.
///
/// ```
/// use cnn_layers::detection::nms;
///
/// let boxes = [[0., 0., 10., 10.], [1., 0., 11., 10.], [50., 50., 60., 60.]];
/// assert_eq!(nms(&boxes, &[0.6, 0.9, 0.3], 0.5)?, [1, 2]);
/// # Ok::<(), cnn_layers::Error>(())
/// ```
///
/// # Errors
/// If there are not as many scores as boxes, a score is NaN, or the threshold is not from 0 to 1.
pub fn nms(boxes: &[BoxEdges], scores: &[f32], iou_threshold: f64) -> Result<Vec<usize>, Error> {
    let threshold = largest_kept(iou_threshold)?;
    let order = by_score(scores, boxes.len())?;
    let ranks: Vec<usize> = (0..order.len()).collect();
    let kept = survivors(boxes, &order, &ranks, threshold);
    Ok(kept.into_iter().map(|rank| order[rank]).collect())
}

/// [`nms`] among the boxes of each class, as torchvision's `batched_nms` for many boxes, which
/// compares none of different classes. (For few boxes torchvision moves each class to a place of
/// its own instead, where rounding is coarser.)
///
/// ```
/// use cnn_layers::detection::batched_nms;
///
/// let boxes = [[0., 0., 10., 10.], [1., 0., 11., 10.], [0., 0., 10., 10.]];
/// assert_eq!(batched_nms(&boxes, &[0.6, 0.9, 0.8], &[7, 7, 2], 0.5)?, [1, 2]);
/// # Ok::<(), cnn_layers::Error>(())
/// ```
///
/// # Errors
/// As [`nms`], or if there are not as many classes as boxes.
pub fn batched_nms(
    boxes: &[BoxEdges],
    scores: &[f32],
    classes: &[u32],
    iou_threshold: f64,
) -> Result<Vec<usize>, Error> {
    let threshold = largest_kept(iou_threshold)?;
    check_count("classes", classes.len(), boxes.len())?;
    let order = by_score(scores, boxes.len())?;
    let mut ranks: Vec<usize> = (0..order.len()).collect();
    let class = |rank: &usize| classes[order[*rank]];
    ranks.sort_by_key(class);
    let mut kept: Vec<usize> = ranks
        .chunk_by(|a, b| class(a) == class(b))
        .flat_map(|ranks| survivors(boxes, &order, ranks, threshold))
        .collect();
    kept.sort_unstable();
    Ok(kept.into_iter().map(|rank| order[rank]).collect())
}

/// The numbers of all boxes by score, the highest first and equal ones in their order.
pub(super) fn by_score(scores: &[f32], boxes: usize) -> Result<Vec<usize>, Error> {
    check_count("scores", scores.len(), boxes)?;
    if let Some(place) = scores.iter().position(|score| score.is_nan()) {
        let found = format!("NaN at place {place}");
        return Err(Error::argument("scores", found, "numbers"));
    }
    let mut order: Vec<usize> = (0..boxes).collect();
    // Of numbers that are not NaN there is always an order, in which 0 and −0 are equal.
    let by_score = |a: &usize, b: &usize| scores[*b].partial_cmp(&scores[*a]);
    order.sort_by(|a, b| by_score(a, b).unwrap_or(std::cmp::Ordering::Equal));
    Ok(order)
}

/// The greatest f32 number that is not above the threshold: one of f32 is above either or neither.
fn largest_kept(iou_threshold: f64) -> Result<f32, Error> {
    check_share("iou_threshold", iou_threshold)?;
    let nearest = iou_threshold as f32;
    Ok(if f64::from(nearest) > iou_threshold {
        nearest.next_down()
    } else {
        nearest
    })
}

/// Which of these ranks stay; `order` has the number of the box of each rank.
fn survivors(boxes: &[BoxEdges], order: &[usize], ranks: &[usize], threshold: f32) -> Vec<usize> {
    let columns = Columns::new(ranks.iter().map(|&rank| &boxes[order[rank]]));
    let mut removed = vec![0u32; ranks.len()];
    let mut kept = Vec::new();
    for (place, &rank) in ranks.iter().enumerate() {
        if removed[place] != 0 {
            continue;
        }
        kept.push(rank);
        let edges = &boxes[order[rank]];
        columns.remove(place + 1, edges, threshold, &mut removed[place + 1..]);
    }
    kept
}

/// Boxes edge by edge, so that several are compared at a time.
struct Columns {
    x1: Vec<f32>,
    y1: Vec<f32>,
    x2: Vec<f32>,
    y2: Vec<f32>,
    area: Vec<f32>,
}

impl Columns {
    fn new<'a>(boxes: impl Iterator<Item = &'a BoxEdges> + Clone) -> Self {
        let edge = |which: usize| boxes.clone().map(|edges| edges[which]).collect();
        Self {
            x1: edge(0),
            y1: edge(1),
            x2: edge(2),
            y2: edge(3),
            area: boxes.clone().map(box_area).collect(),
        }
    }

    /// Marks the boxes from `first` on that overlap with this one by more than the threshold.
    fn remove(&self, first: usize, edges: &BoxEdges, threshold: f32, removed: &mut [u32]) {
        let count = removed.len();
        let area = box_area(edges);
        let x1 = &self.x1[first..][..count];
        let y1 = &self.y1[first..][..count];
        let x2 = &self.x2[first..][..count];
        let y2 = &self.y2[first..][..count];
        let areas = &self.area[first..][..count];
        for place in 0..count {
            let width = lesser(x2[place], edges[2]) - greater(x1[place], edges[0]);
            let height = lesser(y2[place], edges[3]) - greater(y1[place], edges[1]);
            let intersection = greater(width, 0.) * greater(height, 0.);
            let overlap = intersection / (area + areas[place] - intersection);
            removed[place] |= u32::from(overlap > threshold);
        }
    }
}

/// Unlike [`f32::max`], one instruction.
#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn lesser(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::detection::iou;
    use cnn_core::Key;

    struct Candidates {
        boxes: Vec<BoxEdges>,
        scores: Vec<f32>,
        classes: Vec<u32>,
    }

    /// Boxes at whole pixels with scores of few values, so that there are ties and equal boxes.
    fn candidates(count: usize, seed: u64) -> Candidates {
        let mut rng = Key::new(seed).stream("candidates").rng();
        let mut below = |n: u64| rng.below(n) as f32;
        let boxes = (0..count).map(|_| {
            let [x, y] = [below(40), below(40)];
            [x, y, x + below(30), y + below(30)]
        });
        Candidates {
            boxes: boxes.collect(),
            scores: (0..count).map(|_| below(20) / 16.).collect(),
            classes: (0..count).map(|_| below(3) as u32).collect(),
        }
    }

    /// Pairs in the order of their definition, one at a time.
    fn slow(candidates: &Candidates, threshold: f64, of_class: bool) -> Vec<usize> {
        let Candidates {
            boxes,
            scores,
            classes,
        } = candidates;
        let mut left: Vec<usize> = (0..boxes.len()).collect();
        let mut kept = Vec::new();
        while !left.is_empty() {
            let best = left
                .iter()
                .copied()
                .reduce(|a, b| if scores[b] > scores[a] { b } else { a })
                .unwrap();
            kept.push(best);
            left.retain(|&other| {
                let apart = of_class && classes[other] != classes[best];
                let overlap = f64::from(iou(&boxes[best], &boxes[other]));
                other != best && (apart || overlap <= threshold)
            });
        }
        kept
    }

    #[test]
    fn it_keeps_what_the_definition_keeps() {
        for seed in 0..40 {
            let all = candidates(120, seed);
            for threshold in [0., 0.3, 0.5, 1. / 3., 0.75, 1.] {
                let kept = nms(&all.boxes, &all.scores, threshold).unwrap();
                assert_eq!(kept, slow(&all, threshold, false));
                let kept = batched_nms(&all.boxes, &all.scores, &all.classes, threshold).unwrap();
                assert_eq!(kept, slow(&all, threshold, true));
            }
        }
    }

    #[test]
    fn what_it_keeps_does_not_overlap_and_stays_when_asked_again() {
        let all = candidates(300, 77);
        let kept = nms(&all.boxes, &all.scores, 0.4).unwrap();
        let boxes: Vec<BoxEdges> = kept.iter().map(|&kept| all.boxes[kept]).collect();
        let scores: Vec<f32> = kept.iter().map(|&kept| all.scores[kept]).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b));
        for (place, edges) in boxes.iter().enumerate() {
            assert!(boxes[..place].iter().all(|other| iou(edges, other) <= 0.4));
        }
        let again = nms(&boxes, &scores, 0.4).unwrap();
        assert_eq!(again, (0..boxes.len()).collect::<Vec<_>>());
    }

    #[test]
    fn no_boxes_boxes_without_area_and_arguments_out_of_range() {
        assert!(nms(&[], &[], 0.5).unwrap().is_empty());
        assert!(batched_nms(&[], &[], &[], 0.5).unwrap().is_empty());
        let points = [[3., 3., 3., 3.]; 3];
        assert_eq!(nms(&points, &[0.1, 0.3, 0.2], 0.).unwrap(), [1, 2, 0]);
        for (scores, threshold, expected) in [
            (vec![0.1, f32::NAN, 0.2], 0.5, "NaN at place 1"),
            (vec![0.1, 0.2], 0.5, "2 of them, expected 3, one per box"),
            (
                vec![0.1; 3],
                1.5,
                "`iou_threshold`: found 1.5, expected 0 to 1",
            ),
            (vec![0.1; 3], f64::NAN, "found NaN, expected 0 to 1"),
        ] {
            let error = nms(&points, &scores, threshold).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(batched_nms(&points, &[0.1; 3], &[1, 2], 0.5).is_err());
    }
}
