//! Thumbnails inside the page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnn_core::Interpolation;
use cnn_data::{Image, resize};

use super::format::percent;
use crate::{Error, ImagePrediction};

/// The longer side of a thumbnail at most.
const LONGEST_SIDE: usize = 192;
/// Below this, enlarging shows the pixels as they are: blurring would hide what the network saw.
const PIXELATED_BELOW: usize = 96;

/// An image with its caption.
pub(crate) struct Picture<'a> {
    pub(crate) about: &'a ImagePrediction,
    pub(crate) probability: String,
    /// The thumbnail as a `data:` address.
    pub(crate) data: String,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixelated: bool,
}

impl<'a> Picture<'a> {
    pub(crate) fn new(about: &'a ImagePrediction) -> Result<Self, Error> {
        let failed = |source| Error::Picture { path: about.path.clone(), source };
        let image = thumbnail(&about.image).map_err(failed)?;
        let png = image.to_png().map_err(failed)?;
        Ok(Self {
            about,
            probability: percent(about.probability),
            data: format!("data:image/png;base64,{}", STANDARD.encode(png)),
            height: image.height(),
            width: image.width(),
            pixelated: image.height().max(image.width()) < PIXELATED_BELOW,
        })
    }
}

/// The image with its longer side reduced to [`LONGEST_SIDE`]; never enlarged.
fn thumbnail(image: &Image) -> Result<Image, cnn_data::Error> {
    let longer = image.height().max(image.width());
    if longer <= LONGEST_SIDE {
        return Ok(image.clone());
    }
    let side = |side: usize| (side as f64 * LONGEST_SIDE as f64 / longer as f64).round().max(1.0) as usize;
    resize(image, side(image.height()), side(image.width()), Interpolation::Bicubic)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn thumbnails_keep_the_aspect_ratio_and_fit() {
        let cases = [((32, 20), (32, 20)), ((192, 192), (192, 192)), ((400, 300), (192, 144)), ((1, 5000), (1, 192))];
        for ((height, width), expected) in cases {
            let image = Image::from_pixels(height, width, 1, vec![7; height * width]).unwrap();
            let small = thumbnail(&image).unwrap();
            assert_eq!((small.height(), small.width()), expected);
            assert!(small.bytes().iter().all(|&byte| byte == 7));
        }
    }

    #[test]
    fn the_address_holds_the_thumbnail() {
        let image = Image::from_pixels(200, 100, 3, (0..60_000).map(|at| (at % 251) as u8).collect()).unwrap();
        let about = ImagePrediction {
            image: image.clone(),
            path: "a.png".into(),
            label: "x".into(),
            prediction: "y".into(),
            probability: 0.5,
        };
        let picture = Picture::new(&about).unwrap();
        let bytes = STANDARD.decode(picture.data.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        assert_eq!(cnn_data::decode(&bytes).unwrap(), thumbnail(&image).unwrap());
        assert_eq!((picture.height, picture.width, picture.pixelated), (192, 96, false));
    }
}
