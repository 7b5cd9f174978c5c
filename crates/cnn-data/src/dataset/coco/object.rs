//! An object of a COCO file.

use super::document::{Annotation, Segmentation};
use super::region::{Region, Size};
use crate::AnnotatedObject;
use crate::dataset::boxes::{Place, PlacedObject};

#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: Option<i64>,
    pub(super) category: usize,
    bbox: Option<Vec<f64>>,
    area: Option<f64>,
    pub(super) segmentation: Option<Segmentation>,
    pub(super) is_crowd: bool,
}

impl Object {
    pub(super) fn of(annotation: Annotation, category: usize) -> Self {
        let is_nothing = |segmentation: &Segmentation| match segmentation {
            Segmentation::Polygons(polygons) => polygons.iter().all(Vec::is_empty),
            _ => false,
        };
        Self {
            id: annotation.id,
            category,
            bbox: annotation.bbox,
            area: annotation.area,
            segmentation: annotation
                .segmentation
                .filter(|segmentation| !is_nothing(segmentation)),
            is_crowd: annotation.iscrowd.is_set(),
        }
    }

    pub(super) fn region(&self, size: Size) -> Result<Option<Region>, String> {
        let region = self.segmentation.as_ref();
        let region = region.map(|segmentation| Region::of(segmentation, size));
        region.transpose().map_err(|reason| self.named(&reason))
    }

    /// Left, top, right and bottom; `None` if there is no box.
    pub(super) fn edges(&self) -> Result<Option<[f64; 4]>, String> {
        let edges = |[x, y, width, height]: [f64; 4]| [x, y, x + width, y + height];
        Ok(self.xywh()?.map(edges))
    }

    fn xywh(&self) -> Result<Option<[f64; 4]>, String> {
        let Some(bbox) = self.bbox.as_ref().filter(|bbox| !bbox.is_empty()) else {
            return Ok(None);
        };
        match bbox[..] {
            [x, y, width, height]
                if bbox.iter().all(|value| value.is_finite()) && width >= 0.0 && height >= 0.0 =>
            {
                Ok(Some([x, y, width, height]))
            }
            _ => Err(self.named(&format!(
                "its box is {bbox:?}, expected x, y, width and height"
            ))),
        }
    }

    pub(super) fn placed(&self) -> Result<Option<PlacedObject>, String> {
        let Some(xywh) = self.xywh()? else {
            return Ok(None);
        };
        let object = AnnotatedObject::new(xywh, self.category)
            .with_crowd(self.is_crowd)
            .with_id(self.id);
        let area = self.area.unwrap_or(object.area);
        if !area.is_finite() || area < 0.0 {
            return Err(self.named(&format!("its area is {area}, expected none below 0")));
        }
        Ok(Some(PlacedObject {
            place: Place::Annotation(self.id),
            object: object.with_area(area),
            is_reversed: false,
        }))
    }

    fn named(&self, reason: &str) -> String {
        format!("{}: {reason}", Place::Annotation(self.id))
    }
}
