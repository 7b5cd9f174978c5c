//! A COCO file: images, and the objects in them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use super::document::{Annotation, Document};
use super::object::Object;
use super::region::{Region, Size};
use crate::annotation::Trained;
use crate::dataset::boxes::{Fault, PlacedObject, Tally, mended};
use crate::{AnnotatedObject, BoundingBox, Error, Limits, Mask};

/// The largest file that is read, in bytes; COCO's own have 450 MB.
const MOST_BYTES: u64 = 1 << 30;

/// What COCO's JSON says of the objects in images: boxes, polygons and runs of pixels.
///
/// The ids of categories have gaps. Their numbers here are their places in the order of their ids,
/// from 0; in masks the background comes before them, and each is one more.
///
/// Masks hold the categories of objects as
/// [pycocotools](https://github.com/cocodataset/cocoapi)' `annToMask` draws them, to the pixel.
/// Where objects overlap, the smaller one lies on top. Crowds (`iscrowd`) are
/// [`Mask::IGNORE`], except where an object lies over them; so are the boxes of objects without a
/// segmentation.
///
/// ```
/// use cnn_data::CocoAnnotations;
///
/// let json = br#"{
///     "images": [{"id": 7, "file_name": "a.jpg", "height": 2, "width": 3}],
///     "categories": [{"id": 90, "name": "cat"}, {"id": 4, "name": "dog"}],
///     "annotations": [{"id": 1, "image_id": 7, "category_id": 90, "bbox": [1, 0, 2, 1],
///         "segmentation": {"size": [2, 3], "counts": [2, 1, 1, 1, 1]}}]
/// }"#;
/// let annotations = CocoAnnotations::parse(json)?;
/// assert_eq!(annotations.categories(), ["dog", "cat"]);
/// assert_eq!(annotations.mask(0)?.bytes(), [0, 2, 2, 0, 0, 0]);
/// assert_eq!(annotations.boxes(0)?[0].edges(), [1.0, 0.0, 3.0, 1.0]);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct CocoAnnotations {
    categories: Vec<String>,
    category_ids: Vec<i64>,
    images: Vec<CocoImage>,
    /// Whether any object has a segmentation.
    has_regions: bool,
    /// Objects that are no crowd and have no segmentation.
    boxes_alone: usize,
}

#[derive(Debug)]
struct CocoImage {
    id: i64,
    file_name: String,
    size: Size,
    objects: Vec<Object>,
}

impl CocoAnnotations {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::BrokenDataset`] if it is larger than 1 GiB or
    /// is not as [`CocoAnnotations::parse`] expects.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let io = |error| Error::io("read", path, error);
        let len = fs::metadata(path).map_err(io)?.len();
        if len > MOST_BYTES {
            let reason = format!("{len} bytes, read are files of at most {MOST_BYTES}");
            return Err(Error::broken_dataset(path, reason));
        }
        let bytes = fs::read(path).map_err(io)?;
        Self::parse(&bytes).map_err(|reason| Error::broken_dataset(path, reason))
    }

    /// Understands JSON with `images`, `annotations` and `categories`. What is wrong with a single
    /// object is said when its image's boxes or mask are asked for.
    ///
    /// # Errors
    ///
    /// A sentence that says where it is no such JSON, or which image or category contradicts
    /// others.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| format!("no COCO file: {error}"))?;
        let Categories {
            names,
            ids,
            numbers,
        } = Categories::of(&document)?;
        let mut images = Vec::new();
        let mut places = HashMap::new();
        for entry in document.images {
            let id = entry.id;
            let check = || Limits::default().check(entry.width.into(), entry.height.into());
            if entry.width == 0 || entry.height == 0 {
                return Err(format!("image {id} has a side of 0 pixels"));
            }
            check().map_err(|error| format!("image {id} {error}"))?;
            if places.insert(id, images.len()).is_some() {
                return Err(format!("two images have the id {id}"));
            }
            images.push(CocoImage {
                id,
                file_name: entry.file_name,
                size: Size {
                    height: entry.height,
                    width: entry.width,
                },
                objects: Vec::new(),
            });
        }
        let mut has_regions = false;
        let mut boxes_alone = 0;
        for annotation in document.annotations {
            let at = places
                .get(&annotation.image_id)
                .ok_or_else(|| unknown(&annotation, "image", annotation.image_id))?;
            let category = numbers
                .get(&annotation.category_id)
                .ok_or_else(|| unknown(&annotation, "category", annotation.category_id))?;
            let object = Object::of(annotation, *category);
            has_regions |= object.segmentation.is_some();
            boxes_alone += usize::from(object.segmentation.is_none() && !object.is_crowd);
            images[*at].objects.push(object);
        }
        Ok(Self {
            categories: names,
            category_ids: ids,
            images,
            has_regions,
            boxes_alone,
        })
    }

    /// The categories' names in the order of their ids.
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The file name of an image, in the order of the file; `None` beyond the last one.
    pub fn file_name(&self, image: usize) -> Option<&str> {
        self.images.get(image).map(|image| image.file_name.as_str())
    }

    /// Height and width of an image, as the file says.
    pub fn size(&self, image: usize) -> Option<[usize; 2]> {
        let size = self.images.get(image)?.size;
        Some([size.height as usize, size.width as usize])
    }

    /// Whether masks can be drawn: some object has a segmentation, and the categories and the
    /// background have numbers below 255.
    pub fn has_masks(&self) -> bool {
        self.has_regions && self.categories.len() < usize::from(Mask::IGNORE)
    }

    /// How many objects have a box and no segmentation.
    pub(super) fn boxes_alone(&self) -> usize {
        self.boxes_alone
    }

    /// COCO's number of an image; `None` beyond the last one.
    pub fn image_id(&self, image: usize) -> Option<i64> {
        self.images.get(image).map(|image| image.id)
    }

    /// COCO's number of a category; `None` beyond the last one.
    pub fn category_id(&self, category: usize) -> Option<i64> {
        self.category_ids.get(category).copied()
    }

    /// The objects of an image that have boxes, crowds included, in the order of the file and with
    /// its numbers to the last bit. Boxes of no width or height, and those outside of the image, are
    /// left out.
    ///
    /// # Errors
    ///
    /// A sentence that names the annotation and what is wrong with it.
    pub fn objects(&self, image: usize) -> Result<Vec<AnnotatedObject>, String> {
        self.mended(image, "", &mut Tally::default())
    }

    /// The boxes of an image's objects without crowds, in the order of the file, as far as they lie
    /// inside the image; those of which nothing does are left out, and of two that are the same the
    /// second.
    ///
    /// # Errors
    ///
    /// A sentence that names the annotation and what is wrong with it.
    pub fn boxes(&self, image: usize) -> Result<Vec<BoundingBox>, String> {
        let Size { height, width } = self.image(image)?.size;
        let objects = self.objects(image)?;
        Ok(Trained::of(&objects, height as usize, width as usize).boxes)
    }

    fn mended(
        &self,
        image: usize,
        file: &str,
        tally: &mut Tally,
    ) -> Result<Vec<AnnotatedObject>, String> {
        let CocoImage { size, objects, .. } = self.image(image)?;
        let placed: Vec<PlacedObject> = objects
            .iter()
            .filter_map(|object| object.placed().transpose())
            .collect::<Result<_, _>>()?;
        let sides = [size.width, size.height].map(f64::from);
        Ok(mended(placed, sides, file, tally))
    }

    /// What is wrong with boxes in sentences, where it does not keep them from being read; `file`
    /// is what the sentences call the file.
    pub(super) fn box_notes(&self, file: &str) -> Vec<String> {
        let mut tally = Tally::default();
        for image in 0..self.len() {
            if let Err(reason) = self.mended(image, file, &mut tally) {
                tally.add(Fault::UnusableObject, || format!("{file}: {reason}"));
            }
        }
        tally.notes()
    }

    /// The mask of an image.
    ///
    /// # Errors
    ///
    /// A sentence that names the annotation and what is wrong with it.
    pub fn mask(&self, image: usize) -> Result<Mask, String> {
        let CocoImage { size, objects, .. } = self.image(image)?;
        let mut ignored = Vec::new();
        let mut drawn = Vec::new();
        for object in objects {
            let region = object.region(*size)?;
            match region {
                Some(region) if !object.is_crowd => drawn.push((region, object.category)),
                Some(region) => ignored.push(region),
                None => ignored.extend(object.edges()?.map(|edges| Region::of_box(edges, *size))),
            }
        }
        drawn.sort_by_key(|(region, _)| std::cmp::Reverse(region.area()));
        let mut bytes = vec![0; size.pixels()];
        for region in ignored {
            region.paint(&mut bytes, *size, Mask::IGNORE);
        }
        for (region, category) in drawn {
            let class = u8::try_from(category + 1).unwrap_or(Mask::IGNORE);
            region.paint(&mut bytes, *size, class);
        }
        Mask::new(size.height as usize, size.width as usize, bytes)
            .map_err(|error| error.to_string())
    }

    /// The pixels of one object: 1 inside and 0 outside, as pycocotools' `annToMask` gives them.
    ///
    /// # Errors
    ///
    /// A sentence that names the annotation and what is wrong with it, or that there is none of
    /// this id with a segmentation.
    pub fn annotation_mask(&self, id: i64) -> Result<Mask, String> {
        let objects = self
            .images
            .iter()
            .flat_map(|image| image.objects.iter().map(|object| (image.size, object)));
        let found = objects
            .into_iter()
            .find(|(_, object)| object.id == Some(id));
        let (size, object) = found.ok_or_else(|| format!("no annotation has the id {id}"))?;
        let region = object.region(size)?;
        let region = region.ok_or_else(|| format!("annotation {id} has no segmentation"))?;
        let mut bytes = vec![0; size.pixels()];
        region.paint(&mut bytes, size, 1);
        Mask::new(size.height as usize, size.width as usize, bytes)
            .map_err(|error| error.to_string())
    }

    fn image(&self, image: usize) -> Result<&CocoImage, String> {
        let len = self.images.len();
        let found = self.images.get(image);
        found.ok_or_else(|| format!("image {image} of {len}"))
    }
}

/// The categories in the order of their ids, and the number of each id.
struct Categories {
    names: Vec<String>,
    ids: Vec<i64>,
    numbers: HashMap<i64, usize>,
}

impl Categories {
    fn of(document: &Document) -> Result<Self, String> {
        let mut of_id = BTreeMap::new();
        for category in &document.categories {
            if of_id.insert(category.id, &category.name).is_some() {
                return Err(format!("two categories have the id {}", category.id));
            }
        }
        Ok(Self {
            numbers: of_id.keys().copied().zip(0..).collect(),
            ids: of_id.keys().copied().collect(),
            names: of_id.into_values().cloned().collect(),
        })
    }
}

fn unknown(annotation: &Annotation, what: &str, id: i64) -> String {
    match annotation.id {
        Some(number) => format!("annotation {number} is of the {what} {id}, which is not there"),
        None => format!("an annotation is of the {what} {id}, which is not there"),
    }
}
