//! Small copies of images.

use cnn_core::Interpolation;
use cnn_data::{Image, resize};

/// The image with its longer side reduced to `longest` pixels; never enlarged.
///
/// # Errors
/// If the resizing library refuses.
pub fn thumbnail(image: &Image, longest: usize) -> Result<Image, cnn_data::Error> {
    let longer = image.height().max(image.width());
    if longer <= longest {
        return Ok(image.clone());
    }
    let side = |side: usize| {
        (side as f64 * longest as f64 / longer as f64)
            .round()
            .max(1.0) as usize
    };
    resize(
        image,
        side(image.height()),
        side(image.width()),
        Interpolation::Bicubic,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn thumbnails_keep_the_aspect_ratio_and_fit() {
        let cases = [
            ((32, 20), (32, 20)),
            ((192, 192), (192, 192)),
            ((400, 300), (192, 144)),
            ((1, 5000), (1, 192)),
        ];
        for ((height, width), expected) in cases {
            let image = Image::from_pixels(height, width, 1, vec![7; height * width]).unwrap();
            let small = thumbnail(&image, 192).unwrap();
            assert_eq!((small.height(), small.width()), expected);
            assert!(small.bytes().iter().all(|&byte| byte == 7));
        }
    }
}
