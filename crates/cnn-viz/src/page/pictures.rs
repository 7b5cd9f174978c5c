//! Thumbnails inside the page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnn_data::Image;

use super::format::percent;
use crate::{
    ColorMap, Error, ImagePrediction, ImageStrip, PictureGroup, Report, StripRow, thumbnail,
};

/// The longer side of a thumbnail at most.
pub(crate) const LONGEST_SIDE: usize = 192;
/// The same of a cell of a strip.
pub(crate) const STRIP_SIDE: usize = 128;
/// Below this, enlarging shows the pixels as they are: blurring would hide what the network saw.
const PIXELATED_BELOW: usize = 96;

/// The groups that have pictures.
pub(crate) fn groups(report: &Report) -> Result<Vec<Group<'_>>, Error> {
    report
        .pictures
        .iter()
        .filter(|group| !group.pictures.is_empty())
        .map(Group::new)
        .collect()
}

/// Pictures under a heading.
pub(crate) struct Group<'a> {
    pub(crate) title: &'a str,
    pub(crate) note: Option<&'a str>,
    pub(crate) pictures: Vec<Picture<'a>>,
    /// Whether any has an explanation, and the colours of those.
    pub(crate) explained: bool,
    pub(crate) legend: String,
}

impl<'a> Group<'a> {
    fn new(group: &'a PictureGroup) -> Result<Self, Error> {
        Ok(Self {
            title: &group.title,
            note: group.note.as_deref(),
            pictures: group
                .pictures
                .iter()
                .map(Picture::new)
                .collect::<Result<_, _>>()?,
            explained: group
                .pictures
                .iter()
                .any(|picture| picture.explanation.is_some()),
            legend: ColorMap::Sequential.css_gradient(),
        })
    }
}

/// The same images over epochs or networks.
pub(crate) struct Strip<'a> {
    pub(crate) about: &'a ImageStrip,
    pub(crate) rows: Vec<Row<'a>>,
    pub(crate) legend: String,
}

pub(crate) struct Row<'a> {
    pub(crate) image: Thumbnail,
    pub(crate) label: &'a str,
    pub(crate) cells: Vec<(Thumbnail, &'a str)>,
}

impl<'a> Strip<'a> {
    pub(crate) fn new(strip: &'a ImageStrip) -> Result<Self, Error> {
        let thumbnail = |image: &Image| Thumbnail::new(image, "a strip's image", STRIP_SIDE);
        let row = |row: &'a StripRow| {
            if row.cells.len() != strip.columns.len() {
                let expected = format!("one for each of {} columns", strip.columns.len());
                return Err(Error::argument("cells", row.cells.len(), expected));
            }
            let cells = row
                .cells
                .iter()
                .map(|(image, caption)| Ok((thumbnail(image)?, caption.as_str())));
            Ok(Row {
                image: thumbnail(&row.image)?,
                label: &row.label,
                cells: cells.collect::<Result<_, Error>>()?,
            })
        };
        let rows = strip.rows.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self {
            about: strip,
            rows,
            legend: ColorMap::Sequential.css_gradient(),
        })
    }
}

/// A prediction with its caption.
pub(crate) struct Picture<'a> {
    pub(crate) about: &'a ImagePrediction,
    pub(crate) probability: String,
    pub(crate) thumbnail: Thumbnail,
    /// Where in the image the network saw its class.
    pub(crate) explanation: Option<Thumbnail>,
}

impl<'a> Picture<'a> {
    pub(crate) fn new(about: &'a ImagePrediction) -> Result<Self, Error> {
        let thumbnail = |image: &Image| Thumbnail::new(image, &about.path, LONGEST_SIDE);
        Ok(Self {
            about,
            probability: percent(about.probability),
            thumbnail: thumbnail(&about.image)?,
            explanation: about.explanation.as_ref().map(thumbnail).transpose()?,
        })
    }
}

/// A small copy of an image.
pub(crate) struct Thumbnail {
    /// As a `data:` address.
    pub(crate) data: String,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixelated: bool,
}

impl Thumbnail {
    pub(crate) fn new(image: &Image, path: &str, longest_side: usize) -> Result<Self, Error> {
        let failed = |source| Error::picture(path, source);
        let image = thumbnail(image, longest_side).map_err(failed)?;
        let png = image.to_png().map_err(failed)?;
        Ok(Self {
            data: format!("data:image/png;base64,{}", STANDARD.encode(png)),
            height: image.height(),
            width: image.width(),
            pixelated: image.height().max(image.width()) < PIXELATED_BELOW,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_address_holds_the_thumbnail() {
        let image = Image::from_pixels(
            200,
            100,
            3,
            (0..60_000).map(|at| (at % 251) as u8).collect(),
        )
        .unwrap();
        let about = ImagePrediction {
            image: image.clone(),
            path: "a.png".into(),
            label: "x".into(),
            prediction: "y".into(),
            probability: 0.5,
            explanation: None,
        };
        let picture = Picture::new(&about).unwrap().thumbnail;
        let bytes = STANDARD
            .decode(picture.data.strip_prefix("data:image/png;base64,").unwrap())
            .unwrap();
        assert_eq!(
            cnn_data::decode(&bytes).unwrap(),
            thumbnail(&image, 192).unwrap()
        );
        assert_eq!(
            (picture.height, picture.width, picture.pixelated),
            (192, 96, false)
        );
    }
}
