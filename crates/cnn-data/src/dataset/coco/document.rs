//! The JSON of a COCO file, as it is written.

use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) images: Vec<ImageEntry>,
    pub(super) annotations: Vec<Annotation>,
    pub(super) categories: Vec<Category>,
}

/// A document of which only the names of its parts are looked at.
#[derive(Deserialize)]
pub(super) struct Outline {
    images: Option<IgnoredAny>,
    annotations: Option<IgnoredAny>,
    categories: Option<IgnoredAny>,
}

impl Outline {
    pub(super) fn is_coco(&self) -> bool {
        self.images.is_some() && self.annotations.is_some() && self.categories.is_some()
    }
}

#[derive(Deserialize)]
pub(super) struct ImageEntry {
    pub(super) id: i64,
    pub(super) file_name: String,
    pub(super) height: u32,
    pub(super) width: u32,
}

#[derive(Deserialize)]
pub(super) struct Category {
    pub(super) id: i64,
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct Annotation {
    #[serde(default)]
    pub(super) id: Option<i64>,
    pub(super) image_id: i64,
    pub(super) category_id: i64,
    #[serde(default)]
    pub(super) bbox: Option<Vec<f64>>,
    #[serde(default)]
    pub(super) area: Option<f64>,
    #[serde(default)]
    pub(super) segmentation: Option<Segmentation>,
    #[serde(default)]
    pub(super) iscrowd: Flag,
}

/// The region of an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Segmentation {
    /// Outlines `x, y, x, y, …`, whose insides belong to it.
    Polygons(Vec<Vec<f64>>),
    /// Lengths of runs, in columns from the left, outside and inside by turns.
    Runs { size: [u32; 2], counts: Counts },
    /// Anything else, which is told when the image is read.
    Unknown(IgnoredAny),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Counts {
    Numbers(Vec<u32>),
    Compressed(String),
}

/// 0 or 1, or false or true.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Flag {
    Number(i64),
    Bool(bool),
}

impl Flag {
    pub(super) fn is_set(self) -> bool {
        match self {
            Self::Number(number) => number != 0,
            Self::Bool(is_set) => is_set,
        }
    }
}

impl Default for Flag {
    fn default() -> Self {
        Self::Bool(false)
    }
}
