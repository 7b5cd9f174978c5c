//! An object as a file tells it.

use std::collections::HashSet;

use super::{Affine, BoundingBox};

/// An object in a photo with all that its file says of it: what a detector is measured against.
///
/// [`Dataset::objects`](crate::Dataset::objects) gives these; a [`Sample`](crate::Sample) has what
/// is trained on, as [`BoundingBox`]es.
///
/// ```
/// use cnn_data::AnnotatedObject;
///
/// let object = AnnotatedObject::new([10.5, 20.0, 4.0, 3.0], 7);
/// assert_eq!(object.edges(), [10.5, 20.0, 14.5, 23.0]);
/// assert_eq!(object.area, 12.0);
/// assert!(object.is_plain());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AnnotatedObject {
    /// Left and upper edge, width and height, in pixels of the upright photo. The left edge of the
    /// first column is 0. In COCO's files these are the numbers of the file to the last bit.
    pub xywh: [f64; 4],
    /// The class as an index into [`Dataset::classes`](crate::Dataset::classes), from 0.
    pub class: usize,
    /// Square pixels by which COCO's metric sorts objects into small, medium and large ones: what
    /// the file says, which is the area of the object's outline, or else width by height.
    pub area: f64,
    /// Whether it is a region of many objects (`iscrowd` of COCO): what is found there is neither
    /// right nor wrong.
    pub is_crowd: bool,
    /// Whether VOC calls it difficult: finding it is neither right nor wrong.
    pub is_difficult: bool,
    /// Its number in COCO's file.
    pub id: Option<i64>,
}

impl AnnotatedObject {
    /// An object of a class, from the left and the upper edge, width and height in pixels. It is no
    /// crowd and not difficult.
    pub fn new(xywh: [f64; 4], class: usize) -> Self {
        let [_, _, width, height] = xywh;
        Self {
            xywh,
            class,
            area: width * height,
            is_crowd: false,
            is_difficult: false,
            id: None,
        }
    }

    /// The same with this area in square pixels.
    #[must_use]
    pub fn with_area(self, area: f64) -> Self {
        Self { area, ..self }
    }

    /// The same, as a crowd or not.
    #[must_use]
    pub fn with_crowd(self, is_crowd: bool) -> Self {
        Self { is_crowd, ..self }
    }

    /// The same, difficult or not.
    #[must_use]
    pub fn with_difficult(self, is_difficult: bool) -> Self {
        Self {
            is_difficult,
            ..self
        }
    }

    /// The same with this number.
    #[must_use]
    pub fn with_id(self, id: impl Into<Option<i64>>) -> Self {
        Self {
            id: id.into(),
            ..self
        }
    }

    /// The edges `[x_min, y_min, x_max, y_max]`.
    pub fn edges(&self) -> [f64; 4] {
        let [x, y, width, height] = self.xywh;
        [x, y, x + width, y + height]
    }

    /// Whether it is neither a crowd nor difficult, so that it is trained on.
    pub fn is_plain(&self) -> bool {
        !self.is_crowd && !self.is_difficult
    }

    /// The object as a box, with its edges rounded to f32.
    pub fn bounding_box(&self) -> BoundingBox {
        BoundingBox::new(self.edges().map(|edge| edge as f32), self.class)
    }

    /// What two objects have in common that are the same: class and place, to the last bit.
    pub(crate) fn twin_key(&self) -> (usize, [u64; 4]) {
        (self.class, self.xywh.map(f64::to_bits))
    }

    /// The smallest upright box around it after `map`, which keeps lengths.
    pub(crate) fn turned(&self, map: &Affine) -> Self {
        let [x_min, y_min, x_max, y_max] = self.edges();
        let [one, other] = [[x_min, y_min], [x_max, y_max]].map(|corner| map.apply(corner));
        let [_, _, width, height] = self.xywh;
        let does_swap = map.apply([1.0, 0.0])[0] == map.apply([0.0; 2])[0];
        let sides = if does_swap {
            [height, width]
        } else {
            [width, height]
        };
        Self {
            xywh: [
                one[0].min(other[0]),
                one[1].min(other[1]),
                sides[0],
                sides[1],
            ],
            ..self.clone()
        }
    }

    /// The same with its lengths multiplied.
    pub(crate) fn scaled(&self, [across, down]: [f64; 2]) -> Self {
        let [x, y, width, height] = self.xywh;
        Self {
            xywh: [x * across, y * down, width * across, height * down],
            area: self.area * across * down,
            ..self.clone()
        }
    }
}

impl From<&BoundingBox> for AnnotatedObject {
    fn from(found: &BoundingBox) -> Self {
        let [x_min, y_min, x_max, y_max] = found.edges().map(f64::from);
        Self::new([x_min, y_min, x_max - x_min, y_max - y_min], found.class)
    }
}

/// What a network is trained on.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Trained {
    pub(crate) boxes: Vec<BoundingBox>,
    /// Crowds and difficult objects.
    pub(crate) ignored: Vec<BoundingBox>,
}

impl Trained {
    /// The parts of objects inside a photo of this size; of two that are the same the first.
    pub(crate) fn of(objects: &[AnnotatedObject], height: usize, width: usize) -> Self {
        let mut trained = Self::default();
        let mut seen = HashSet::new();
        for object in objects {
            let inside = object.bounding_box().clip(height, width);
            if inside.area() <= 0.0 {
                continue;
            }
            if !object.is_plain() {
                trained.ignored.push(inside);
            } else if seen.insert(object.twin_key()) {
                trained.boxes.push(inside);
            }
        }
        trained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crowds_and_difficult_objects_are_ignored_and_twins_trained_on_once() {
        let object = AnnotatedObject::new([1.0, 2.0, 30.0, 4.0], 3);
        let objects = [
            object.clone().with_crowd(true),
            object.clone(),
            object.clone().with_id(7),
            AnnotatedObject::new([1.0, 2.0, 30.0, 4.0], 2),
            AnnotatedObject::new([20.0, 2.0, 3.0, 4.0], 2),
            AnnotatedObject::new([0.0, -2.0, 3.0, 4.0], 2).with_difficult(true),
        ];
        let inside = |edges, class| BoundingBox::new(edges, class);
        let expected = Trained {
            boxes: vec![
                inside([1.0, 2.0, 20.0, 6.0], 3),
                inside([1.0, 2.0, 20.0, 6.0], 2),
            ],
            ignored: vec![
                inside([1.0, 2.0, 20.0, 6.0], 3),
                inside([0.0, 0.0, 3.0, 2.0], 2),
            ],
        };
        assert_eq!(Trained::of(&objects, 10, 20), expected);
    }
}
