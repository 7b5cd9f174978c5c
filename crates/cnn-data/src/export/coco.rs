//! COCO's JSON files.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::export_boxes::{Photo, make_folder, write_with};
use super::lost::Lost;
use crate::{Dataset, Error, Split};

pub(super) struct Writer<'a> {
    pub(super) photos: PathBuf,
    file: PathBuf,
    dataset: &'a dyn Dataset,
    document: Document,
    /// The numbers of images that are taken.
    ids: HashSet<i64>,
}

#[derive(Default, Serialize)]
struct Document {
    images: Vec<ImageEntry>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Serialize)]
struct ImageEntry {
    id: i64,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Serialize)]
struct Annotation {
    id: Option<i64>,
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    area: f64,
    iscrowd: u8,
}

#[derive(Serialize)]
struct Category {
    id: i64,
    name: String,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        folder: &Path,
        split: Option<Split>,
        dataset: &'a dyn Dataset,
    ) -> Result<Self, Error> {
        let photos = folder.join(split.map_or("images", Split::name));
        let annotations = folder.join("annotations");
        make_folder(&photos)?;
        make_folder(&annotations)?;
        let name = split.map_or_else(String::new, |split| format!("_{split}"));
        let classes = dataset.classes().iter().enumerate();
        let categories = classes.map(|(class, name)| Category {
            id: dataset.category_id(class),
            name: name.clone(),
        });
        Ok(Self {
            photos,
            file: annotations.join(format!("instances{name}.json")),
            dataset,
            document: Document {
                categories: categories.collect(),
                ..Document::default()
            },
            ids: HashSet::new(),
        })
    }

    pub(super) fn add(&mut self, photo: &Photo, lost: &mut Lost) -> usize {
        let [height, width] = photo.size;
        let image_id = self.free_id(self.dataset.image_id(photo.index));
        self.document.images.push(ImageEntry {
            id: image_id,
            file_name: photo.name.name.clone(),
            width,
            height,
        });
        for object in &photo.objects {
            lost.difficult += usize::from(object.is_difficult);
            self.document.annotations.push(Annotation {
                id: object.id,
                image_id,
                category_id: self.dataset.category_id(object.class),
                bbox: object.xywh,
                area: object.area,
                iscrowd: u8::from(!object.is_plain()),
            });
        }
        photo.objects.len()
    }

    /// The number, or the next one that no other image has.
    fn free_id(&mut self, id: i64) -> i64 {
        let free = (id..=i64::MAX).find(|id| self.ids.insert(*id));
        free.unwrap_or(id)
    }

    pub(super) fn finish(mut self) -> Result<(), Error> {
        let annotations = &mut self.document.annotations;
        let ids: HashSet<i64> = annotations.iter().filter_map(|object| object.id).collect();
        if ids.len() < annotations.len() {
            for (number, object) in annotations.iter_mut().enumerate() {
                object.id = Some(number as i64 + 1);
            }
        }
        write_with(&self.file, |file| {
            serde_json::to_writer(file, &self.document).map_err(io::Error::from)
        })
    }
}
