//! The page of explained photos.

use askama::Template;

use super::color;
use super::format::percent;
use super::pictures::Thumbnail;
use crate::{ColorMap, Error, ExplainedOverlay, ExplainedPhoto, Gallery};

/// The longer side of a picture at most.
const LONGEST_SIDE: usize = 320;

#[derive(Template)]
#[template(path = "gallery.html")]
pub(crate) struct GalleryPage<'a> {
    gallery: &'a Gallery,
    photos: Vec<Photo<'a>>,
}

struct Photo<'a> {
    about: &'a ExplainedPhoto,
    thumbnail: Thumbnail,
    classes: Vec<(&'a str, String)>,
    overlays: Vec<Overlay<'a>>,
}

struct Overlay<'a> {
    about: &'a ExplainedOverlay,
    thumbnail: Thumbnail,
    legend: color::Legend,
}

impl<'a> GalleryPage<'a> {
    pub(crate) fn new(gallery: &'a Gallery) -> Result<Self, Error> {
        let photos = gallery.photos.iter().map(Photo::new).collect::<Result<_, _>>()?;
        Ok(Self { gallery, photos })
    }
}

impl<'a> Photo<'a> {
    fn new(about: &'a ExplainedPhoto) -> Result<Self, Error> {
        let overlay = |overlay: &'a ExplainedOverlay| {
            Ok::<_, Error>(Overlay {
                about: overlay,
                thumbnail: Thumbnail::new(&overlay.image, &about.path, LONGEST_SIDE)?,
                legend: color::Legend::of(overlay.colors),
            })
        };
        Ok(Self {
            about,
            thumbnail: Thumbnail::new(&about.image, &about.path, LONGEST_SIDE)?,
            classes: about.classes.iter().map(|(name, share)| (name.as_str(), percent(*share))).collect(),
            overlays: about.overlays.iter().map(overlay).collect::<Result<_, _>>()?,
        })
    }
}

impl color::Legend {
    fn of(colors: ColorMap) -> Self {
        let [low, high] = match colors {
            ColorMap::Sequential => ["unimportant", "important"],
            ColorMap::Diverging => ["speaks against", "speaks for"],
        };
        Self { gradient: colors.css_gradient(), low, high }
    }
}
