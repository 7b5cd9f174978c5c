//! Boxes around objects: those that are there and those that a network finds.

use serde::Serialize;

use crate::Error;

/// An upright rectangle as COCO writes it: its upper left corner, its width and its height.
///
/// Coordinates are edges of pixels, not centres: the single pixel in row 0 and column 0 is `(0, 0,
/// 1, 1)`, and no metric adds a pixel to a width. COCO's small and large objects are so in pixels;
/// for all else the unit does not matter.
///
/// These four numbers are held rather than edges since IoUs at a threshold turn on the last bit of
/// them: with the numbers of a COCO file, metrics are those of pycocotools.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rect {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Right edge minus left edge, not negative.
    pub width: f64,
    /// Lower edge minus upper edge, not negative.
    pub height: f64,
}

impl Rect {
    /// COCO's `bbox`: left edge, upper edge, width, height.
    pub fn new(x: f64, y: f64, width: f64, height: f64) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    /// From the edges `[x_min, y_min, x_max, y_max]`.
    ///
    /// ```
    /// use cnn_metrics::Rect;
    ///
    /// let rect = Rect::from_edges([10.0, 20.0, 15.0, 22.0]);
    /// assert_eq!(rect, Rect::new(10.0, 20.0, 5.0, 2.0));
    /// assert_eq!(rect.edges(), [10.0, 20.0, 15.0, 22.0]);
    /// ```
    pub fn from_edges([x_min, y_min, x_max, y_max]: [f64; 4]) -> Self {
        Self::new(x_min, y_min, x_max - x_min, y_max - y_min)
    }

    /// The edges `[x_min, y_min, x_max, y_max]`.
    pub fn edges(&self) -> [f64; 4] {
        [self.x, self.y, self.x + self.width, self.y + self.height]
    }

    /// Width times height.
    pub fn area(&self) -> f64 {
        self.width * self.height
    }

    /// Intersection over union, in 0..1; 0 where the two have no area in common, and NaN where they
    /// have but both areas are too small for an f64 (below 10⁻³²³).
    ///
    /// ```
    /// use cnn_metrics::Rect;
    ///
    /// let left = Rect::new(0.0, 0.0, 2.0, 4.0);
    /// let right = Rect::new(1.0, 0.0, 2.0, 4.0);
    /// assert_eq!(left.iou(&right), 4.0 / 12.0);
    /// ```
    pub fn iou(&self, other: &Self) -> f64 {
        let shared = self.intersection(other);
        if shared.is_empty() {
            return 0.0;
        }
        shared.area() / (self.area() + other.area() - shared.area())
    }

    /// The share of this rectangle that lies in the other, in 0..1.
    pub(super) fn share_inside(&self, other: &Self) -> f64 {
        let shared = self.intersection(other);
        if shared.is_empty() {
            return 0.0;
        }
        shared.area() / self.area()
    }

    /// What the two have in common; its sides are negative where they lie apart.
    fn intersection(&self, other: &Self) -> Self {
        let [left, upper, right, lower] = self.edges();
        let [other_left, other_upper, other_right, other_lower] = other.edges();
        Self::from_edges([
            left.max(other_left),
            upper.max(other_upper),
            right.min(other_right),
            lower.min(other_lower),
        ])
    }

    fn is_empty(&self) -> bool {
        self.width <= 0.0 || self.height <= 0.0
    }

    /// Whether all edges and the area are finite and no side is negative.
    fn is_valid(&self) -> bool {
        let [left, upper, right, lower] = self.edges();
        [left, upper, right, lower, self.area()]
            .iter()
            .all(|number| number.is_finite())
            && self.width >= 0.0
            && self.height >= 0.0
    }
}

/// An object that is in an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroundTruthBox {
    /// Where it is.
    pub rect: Rect,
    /// Its class, from 0.
    pub class: usize,
    /// How large the object is in square pixels, which tells small from large ones; COCO's field
    /// `area`, that is the area of the object's mask rather than of its box.
    pub area: f64,
    /// Whether it is a group of objects that were not told apart (COCO's `iscrowd`): need not be
    /// found, and may be found any number of times.
    pub is_crowd: bool,
    /// Whether the object is hard to recognise (PASCAL VOC's `difficult`): need not be found, and
    /// may be found any number of times. COCO has none such: its evaluation, as pycocotools', does
    /// not read the field.
    pub is_difficult: bool,
}

impl GroundTruthBox {
    /// An ordinary object, as large as its rectangle.
    pub fn new(rect: Rect, class: usize) -> Self {
        Self {
            rect,
            class,
            area: rect.area(),
            is_crowd: false,
            is_difficult: false,
        }
    }

    /// The same with COCO's field `area`, in square pixels.
    pub fn with_area(self, area: f64) -> Self {
        Self { area, ..self }
    }

    /// The same as a crowd, or not as one.
    pub fn with_crowd(self, is_crowd: bool) -> Self {
        Self { is_crowd, ..self }
    }

    /// The same as a difficult object, or not as one.
    pub fn with_difficult(self, is_difficult: bool) -> Self {
        Self {
            is_difficult,
            ..self
        }
    }

    /// Whether it need not be found, by all metrics but COCO's.
    pub(super) fn is_ignored(&self) -> bool {
        self.is_crowd || self.is_difficult
    }

    /// How far a rectangle is this object, in 0..1: their IoU, and for a crowd the share of the
    /// rectangle that lies in it.
    pub(super) fn overlap(&self, rect: &Rect) -> f64 {
        if self.is_crowd {
            rect.share_inside(&self.rect)
        } else {
            rect.iou(&self.rect)
        }
    }

    pub(super) fn check(&self, index: usize, classes: usize) -> Result<(), Error> {
        check_box("ground truth", index, &self.rect, self.class, classes)?;
        if self.area.is_finite() && self.area >= 0.0 {
            Ok(())
        } else {
            Err(Error::InvalidArea {
                index,
                area: self.area,
            })
        }
    }
}

/// An object that a network finds in an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DetectedBox {
    /// Where.
    pub rect: Rect,
    /// As which class, from 0.
    pub class: usize,
    /// How confident it is; any finite number, higher is more confident.
    pub score: f64,
}

impl DetectedBox {
    /// A detection.
    pub fn new(rect: Rect, class: usize, score: f64) -> Self {
        Self { rect, class, score }
    }

    pub(super) fn check(&self, index: usize, classes: usize) -> Result<(), Error> {
        check_box("detection", index, &self.rect, self.class, classes)?;
        if self.score.is_finite() {
            Ok(())
        } else {
            Err(Error::InvalidScore {
                index,
                score: self.score,
            })
        }
    }
}

fn check_box(
    role: &'static str,
    index: usize,
    rect: &Rect,
    class: usize,
    classes: usize,
) -> Result<(), Error> {
    if class >= classes {
        return Err(Error::BoxClassOutOfRange {
            role,
            index,
            class,
            classes,
        });
    }
    if rect.is_valid() {
        Ok(())
    } else {
        Err(Error::InvalidBox {
            role,
            index,
            rect: *rect,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_that_share_no_area_have_an_iou_of_zero() {
        let rect = Rect::new(10.0, 10.0, 4.0, 2.0);
        for other in [
            Rect::new(14.0, 10.0, 4.0, 2.0), // share an edge
            Rect::new(10.0, 12.0, 4.0, 2.0),
            Rect::new(0.0, 0.0, 1.0, 1.0), // lie apart on both axes
            Rect::new(11.0, 11.0, 0.0, 0.5),
        ] {
            assert_eq!(rect.iou(&other), 0.0);
            assert_eq!(other.iou(&rect), 0.0);
            assert_eq!(other.share_inside(&rect), 0.0);
        }
        let empty = Rect::new(3.0, 3.0, 0.0, 0.0);
        assert_eq!(empty.iou(&empty), 0.0);
        assert_eq!(rect.iou(&rect), 1.0);
    }

    #[test]
    fn of_a_crowd_the_share_of_the_detection_counts() {
        let crowd = GroundTruthBox::new(Rect::new(0.0, 0.0, 100.0, 50.0), 0).with_crowd(true);
        let detection = Rect::new(90.0, 10.0, 20.0, 5.0);
        assert_eq!(crowd.overlap(&detection), 0.5);
        let alone = crowd.with_crowd(false);
        assert_eq!(alone.overlap(&detection), 50.0 / 5050.0);
    }
}
