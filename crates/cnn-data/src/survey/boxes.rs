//! What the boxes of a dataset are like.

use serde::Serialize;

use crate::AnnotatedObject;

/// The areas, in square pixels, from which objects are medium and large in COCO's metric.
const MEDIUM: f64 = 32.0 * 32.0;
const LARGE: f64 = 96.0 * 96.0;

/// What the readable samples of a dataset have for boxes. Crowds and difficult objects are counted
/// apart, and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BoxSurvey {
    /// Number of boxes.
    pub boxes: usize,
    /// Each class, in the order of their numbers.
    pub classes: Vec<BoxClassCount>,
    /// Boxes by their area in COCO's sizes.
    pub sizes: BoxSizes,
    /// Widths in pixels; `None` without boxes.
    pub width: Option<Quantiles>,
    /// Heights in pixels; `None` without boxes.
    pub height: Option<Quantiles>,
    /// Number of boxes in an image; `None` without images.
    pub boxes_per_image: Option<Quantiles>,
    /// Number of images without any object.
    pub empty_images: usize,
    /// Number of crowds.
    pub crowds: usize,
    /// Number of difficult objects that are no crowds.
    pub difficult: usize,
}

/// How often a class occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BoxClassCount {
    /// The class's name.
    pub label: String,
    /// Number of its boxes.
    pub boxes: usize,
    /// Number of images with a box of it.
    pub images: usize,
}

/// Boxes by [`AnnotatedObject::area`], in the sizes of COCO's metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BoxSizes {
    /// Below 32² square pixels.
    pub small: usize,
    /// From 32² square pixels on and below 96².
    pub medium: usize,
    /// From 96² square pixels on.
    pub large: usize,
}

/// Some of the sorted values: those behind which so many percent of the others lie, without values
/// between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Quantiles {
    /// The smallest.
    pub min: f64,
    /// Above 5 % of the values.
    pub p5: f64,
    /// Above a quarter of the values.
    pub p25: f64,
    /// The middle one; the lower one of two.
    pub median: f64,
    /// Above three quarters of the values.
    pub p75: f64,
    /// Above 95 % of the values.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    /// `None` without values.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |percent: usize| values[last * percent / 100];
        Some(Self {
            min: at(0),
            p5: at(5),
            p25: at(25),
            median: at(50),
            p75: at(75),
            p95: at(95),
            max: at(100),
        })
    }
}

impl BoxSurvey {
    /// That of images with these objects, whose classes are called so.
    pub fn of(images: &[Vec<AnnotatedObject>], classes: &[String]) -> Self {
        let all = || images.iter().flatten();
        let plain = || all().filter(|object| object.is_plain());
        let mut counts: Vec<BoxClassCount> = classes
            .iter()
            .map(|label| BoxClassCount {
                label: label.clone(),
                boxes: 0,
                images: 0,
            })
            .collect();
        // The last image in which a class was seen.
        let mut seen = vec![None; classes.len()];
        for (image, objects) in images.iter().enumerate() {
            for object in objects.iter().filter(|object| object.is_plain()) {
                let Some(count) = counts.get_mut(object.class) else {
                    continue;
                };
                count.boxes += 1;
                let before = seen[object.class].replace(image);
                count.images += usize::from(before != Some(image));
            }
        }
        let mut sizes = BoxSizes::default();
        for object in plain() {
            let size = if object.area < MEDIUM {
                &mut sizes.small
            } else if object.area < LARGE {
                &mut sizes.medium
            } else {
                &mut sizes.large
            };
            *size += 1;
        }
        let in_image = |objects: &Vec<AnnotatedObject>| {
            objects.iter().filter(|object| object.is_plain()).count() as f64
        };
        Self {
            boxes: plain().count(),
            classes: counts,
            sizes,
            width: Quantiles::of(plain().map(|object| object.xywh[2])),
            height: Quantiles::of(plain().map(|object| object.xywh[3])),
            boxes_per_image: Quantiles::of(images.iter().map(in_image)),
            empty_images: images.iter().filter(|objects| objects.is_empty()).count(),
            crowds: all().filter(|object| object.is_crowd).count(),
            difficult: all()
                .filter(|object| object.is_difficult && !object.is_crowd)
                .count(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn boxes_are_counted_by_class_size_and_image() {
        let object = |side: f64, class| AnnotatedObject::new([0.0, 0.0, side, 2.0 * side], class);
        let square = |side: f64| object(side, 1).with_area(side * side);
        let images = [
            vec![
                square(31.0),
                square(32.0),
                square(96.0),
                object(500.0, 0).with_crowd(true),
            ],
            vec![],
            vec![object(7.0, 1), object(9.0, 0).with_difficult(true)],
        ];
        let survey = BoxSurvey::of(&images, &["a".to_owned(), "b".to_owned()]);
        let BoxSizes {
            small,
            medium,
            large,
        } = survey.sizes;
        assert_eq!([small, medium, large], [2, 1, 1]);
        let counts: Vec<_> = survey
            .classes
            .iter()
            .map(|count| (count.boxes, count.images))
            .collect();
        assert_eq!(counts, [(0, 0), (4, 2)]);
        assert_eq!((survey.boxes, survey.empty_images), (4, 1));
        assert_eq!((survey.crowds, survey.difficult), (1, 1));
        let width = survey.width.unwrap();
        assert_eq!([width.min, width.median, width.max], [7.0, 31.0, 96.0]);
        assert_eq!(survey.height.unwrap().max, 192.0);
        assert_eq!(survey.boxes_per_image.unwrap().median, 1.0);
        assert_eq!(BoxSurvey::of(&[], &[]).width, None);
    }

    #[test]
    fn quantiles_are_values() {
        let found = Quantiles::of((0..=100).rev().map(f64::from)).unwrap();
        let values = [
            found.min,
            found.p5,
            found.p25,
            found.median,
            found.p75,
            found.p95,
            found.max,
        ];
        assert_eq!(values, [0.0, 5.0, 25.0, 50.0, 75.0, 95.0, 100.0]);
    }
}
