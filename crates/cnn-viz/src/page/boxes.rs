//! Photos with boxes: what is there beside what was found.

use super::pictures::Thumbnail;
use crate::{BoxGroup, BoxedPhoto, Error};

/// A group of photos with their boxes.
pub(crate) struct Boxes<'a> {
    pub(crate) title: &'a str,
    pub(crate) note: Option<&'a str>,
    pub(crate) photos: Vec<BoxRow<'a>>,
}

/// A photo in two pictures.
pub(crate) struct BoxRow<'a> {
    pub(crate) path: &'a str,
    pub(crate) caption: &'a str,
    /// What each picture is, and the picture.
    pub(crate) pictures: [(&'static str, Thumbnail); 2],
}

impl<'a> Boxes<'a> {
    pub(crate) fn new(group: &'a BoxGroup) -> Result<Self, Error> {
        Ok(Self {
            title: &group.title,
            note: group.note.as_deref(),
            photos: group.photos.iter().map(row).collect::<Result<_, _>>()?,
        })
    }
}

fn row(about: &BoxedPhoto) -> Result<BoxRow<'_>, Error> {
    let small = |image| Thumbnail::new(image, &about.path, BoxedPhoto::LONGEST_SIDE);
    Ok(BoxRow {
        path: &about.path,
        caption: &about.caption,
        pictures: [
            ("truth", small(&about.truth)?),
            ("prediction", small(&about.prediction)?),
        ],
    })
}
