//! Other backgrounds, as MNIST-M has them.

use cnn_core::Key;
use cnn_data::Image;

use super::Backgrounds;
use crate::Error;

/// `|image − background|`, value by value; a grey image becomes coloured.
pub(super) fn shifted(image: &Image, backgrounds: &Backgrounds, key: Key) -> Result<Image, Error> {
    let [height, width] = [image.height(), image.width()];
    let patch = backgrounds.patch(height, width, &mut key.rng())?;
    let rgb = image.to_rgb();
    let pairs = rgb.bytes().iter().zip(patch.bytes());
    let bytes = pairs.map(|(image, patch)| image.abs_diff(*patch)).collect();
    Ok(Image::from_pixels(height, width, 3, bytes)?)
}
