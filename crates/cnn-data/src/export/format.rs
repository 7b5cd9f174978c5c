//! The formats of boxes that are written.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// A format that [`export_boxes`](crate::export_boxes) writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BoxFormat {
    /// Pascal VOC: `JPEGImages`, an XML file for each photo in `Annotations`, lists of splits in
    /// `ImageSets/Main`, and `classes.txt` with the classes in their order.
    Voc,
    /// COCO: a folder of photos and a JSON file in `annotations` for each split.
    Coco,
    /// YOLO: `images` and `labels` with a folder for each split, and `data.yaml`.
    Yolo,
}

impl BoxFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Voc, Self::Coco, Self::Yolo];

    /// The format's name: "voc", "coco" or "yolo".
    pub fn name(self) -> &'static str {
        match self {
            Self::Voc => "voc",
            Self::Coco => "coco",
            Self::Yolo => "yolo",
        }
    }
}

impl fmt::Display for BoxFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BoxFormat {
    type Err = Error;

    /// Reads "voc", "coco" or "yolo".
    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| Error::argument("format", format!("`{name}`"), "voc, coco or yolo"))
    }
}
