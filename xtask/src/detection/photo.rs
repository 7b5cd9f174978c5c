//! What came of one photo: which of its objects were found, and what is wrong of what was found.

use cnn_data::AnnotatedObject;
use cnn_layers::DetectedObject;
use cnn_metrics::Rect;
use cnn_train::PhotoObjects;

use super::SHOWN;

/// Of boxes with a score of at least [`SHOWN`], by COCO's rule: each detection, the best score first,
/// takes the object of its class that it overlaps most, of those that are left.
pub(super) struct PhotoResult<'a> {
    /// Its number in the dataset.
    pub(super) index: usize,
    /// What is shown, and whether nothing of its class is there.
    pub(super) shown: Vec<(&'a DetectedObject, bool)>,
    /// The objects that count, and whether they were missed.
    pub(super) objects: Vec<(&'a AnnotatedObject, bool)>,
}

/// A detection and an object that overlap less are not the same.
const LEAST_IOU: f64 = 0.5;

impl<'a> PhotoResult<'a> {
    pub(super) fn of(photo: &'a PhotoObjects) -> Self {
        let (plain, ignored): (Vec<_>, Vec<_>) =
            photo.truth.iter().partition(|object| object.is_plain());
        let mut objects: Vec<_> = plain.into_iter().map(|object| (object, true)).collect();
        let shown = photo.found.iter().filter(|found| found.score >= SHOWN);
        let shown = shown.map(|found| {
            let edges = Rect::from_edges(found.edges.map(f64::from));
            let overlap = |object: &AnnotatedObject| {
                let [x, y, width, height] = object.xywh;
                let is_same = object.class == found.class;
                let overlap = edges.iou(&Rect::new(x, y, width, height));
                (is_same && overlap >= LEAST_IOU).then_some(overlap)
            };
            let free = objects
                .iter()
                .enumerate()
                .filter(|(_, (_, missed))| *missed);
            let fitting = free.filter_map(|(place, (object, _))| Some((overlap(object)?, place)));
            let best = fitting.max_by(|(a, _), (b, _)| a.total_cmp(b));
            if let Some((_, place)) = best {
                objects[place].1 = false;
                return (found, false);
            }
            // What lies over a crowd or a difficult object is neither right nor wrong.
            let is_ignored = ignored.iter().any(|object| overlap(object).is_some());
            (found, !is_ignored)
        });
        Self {
            index: photo.index,
            shown: shown.collect(),
            objects,
        }
    }

    /// Objects that were not found.
    pub(super) fn missed(&self) -> usize {
        self.objects.iter().filter(|(_, missed)| *missed).count()
    }

    /// Objects that were found.
    pub(super) fn found(&self) -> usize {
        self.objects.len() - self.missed()
    }

    /// What was found and is not there.
    pub(super) fn false_boxes(&self) -> usize {
        self.shown.iter().filter(|(_, is_false)| *is_false).count()
    }

    /// How much is wrong.
    pub(super) fn faults(&self) -> usize {
        self.missed() + self.false_boxes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: [f32; 4], class: usize, score: f32) -> DetectedObject {
        DetectedObject {
            edges,
            class,
            score,
        }
    }

    #[test]
    fn each_object_is_found_once_and_by_its_class() {
        let object = |xywh, class| AnnotatedObject::new(xywh, class);
        let photo = PhotoObjects::new(
            3,
            vec![
                object([0., 0., 10., 10.], 0),
                object([20., 0., 10., 10.], 1),
                object([40., 0., 10., 10.], 0).with_crowd(true),
            ],
            vec![
                found([0., 0., 10., 9.], 0, 0.9),
                found([0., 0., 10., 10.], 0, 0.8),
                found([20., 0., 30., 10.], 0, 0.7),
                found([40., 0., 50., 10.], 0, 0.6),
                found([20., 0., 30., 10.], 1, 0.1),
            ],
        );
        let result = PhotoResult::of(&photo);
        let flags: Vec<bool> = result.shown.iter().map(|(_, is_false)| *is_false).collect();
        assert_eq!(flags, [false, true, true, false]);
        let missed: Vec<bool> = result.objects.iter().map(|(_, missed)| *missed).collect();
        assert_eq!(missed, [false, true]);
        assert_eq!((result.found(), result.missed()), (1, 1));
        assert_eq!((result.false_boxes(), result.faults()), (2, 3));
    }
}
