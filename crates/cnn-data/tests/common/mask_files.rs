//! Photos and masks of six pixels, and folders of them.

use cnn_data::{Dataset, Image, Mask, MaskPalette};
use tempfile::TempDir;

use super::{folder_with, golden_bytes};

pub(crate) const HEIGHT: usize = 2;
pub(crate) const WIDTH: usize = 3;

pub(crate) fn photo() -> Vec<u8> {
    let bytes = (0..HEIGHT * WIDTH * 3).map(|at| at as u8).collect();
    let image = Image::from_pixels(HEIGHT, WIDTH, 3, bytes).unwrap();
    image.to_png().unwrap()
}

pub(crate) fn grey(values: [u8; 6]) -> Vec<u8> {
    let image = Image::from_pixels(HEIGHT, WIDTH, 1, values.into()).unwrap();
    image.to_png().unwrap()
}

pub(crate) fn palette(values: [u8; 6]) -> Vec<u8> {
    let mask = Mask::new(HEIGHT, WIDTH, values.into()).unwrap();
    mask.to_png(&MaskPalette::voc()).unwrap()
}

pub(crate) fn rgb(colors: [[u8; 3]; 6]) -> Vec<u8> {
    let image = Image::from_pixels(HEIGHT, WIDTH, 3, colors.as_flattened().into()).unwrap();
    image.to_png().unwrap()
}

/// A folder with a photo for each name that ends in `photo`, and else a mask of classes 0 to 2.
pub(crate) fn folder_of(names: &[&str]) -> TempDir {
    let photo = photo();
    let mask = grey([0, 1, 2, 2, 1, 255]);
    let jpeg = golden_bytes("grey.jpg");
    let text = b"a\nb\nc\n".to_vec();
    let bytes = |name: &str| {
        let is_photo = name.contains("-photo");
        let ending = name.rsplit('.').next();
        match ending {
            Some("jpg") => jpeg.clone(),
            Some("txt") => text.clone(),
            _ if is_photo => photo.clone(),
            _ => mask.clone(),
        }
    };
    let files: Vec<(String, Vec<u8>)> = names
        .iter()
        .map(|name| (name.replace("-photo", ""), bytes(name)))
        .collect();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    folder_with(&files)
}

pub(crate) fn mask_of(dataset: &dyn Dataset, index: usize) -> Vec<u8> {
    dataset.read(index).unwrap().mask.unwrap().into_bytes()
}
