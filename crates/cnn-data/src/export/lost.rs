//! What a format has no place for.

use crate::export::BoxFormat;

/// How many objects lose something.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) crowds: usize,
    pub(super) difficult: usize,
    /// Areas that are not width by height.
    pub(super) areas: usize,
    /// Boxes that were cut at the edges of their photo.
    pub(super) cut: usize,
    /// Photos that are called otherwise.
    pub(super) renamed: usize,
}

impl Lost {
    /// A sentence for each kind.
    pub(super) fn notes(&self, format: BoxFormat) -> Vec<String> {
        let [crowds, difficult] = match format {
            BoxFormat::Voc => [
                "crowds are written as difficult objects, as VOC has no crowds",
                "",
            ],
            BoxFormat::Coco => [
                "",
                "difficult objects are written as crowds, as COCO has no difficult ones",
            ],
            BoxFormat::Yolo => [
                "crowds are left out, as YOLO has no place for them",
                "difficult objects are left out, as YOLO has no place for them",
            ],
        };
        let areas = match format {
            BoxFormat::Coco => "",
            _ => {
                "areas are lost: they are not width by height, and the format has no place for them"
            }
        };
        let counts = [
            (self.crowds, crowds),
            (self.difficult, difficult),
            (self.areas, areas),
            (self.cut, "boxes are cut at the edges of their photos"),
            (
                self.renamed,
                "photos are called otherwise, as their names recur or are no names of image files",
            ),
        ];
        let told = counts
            .into_iter()
            .filter(|(count, text)| *count > 0 && !text.is_empty());
        told.map(|(count, text)| format!("{count} {text}"))
            .collect()
    }
}
