//! A sample's image as its dataset stores it.

use sha2::{Digest, Sha256};

use crate::{Decoded, Error, Image, ImageInfo, Limits, decode_with_limits};

/// An image file or bare pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The bytes of an image file.
    Encoded(Vec<u8>),
    /// Pixels that are stored without a file format.
    Pixels(Image),
}

impl Content {
    /// The image, decoded with the default [`Limits`].
    ///
    /// # Errors
    ///
    /// As [`decode`](crate::decode()).
    pub fn into_image(self) -> Result<Image, Error> {
        Ok(self.into_image_and_info()?.0)
    }

    /// The image and, if it is stored as a file, what its header says.
    pub(crate) fn into_image_and_info(self) -> Result<(Image, Option<ImageInfo>), Error> {
        match self {
            Self::Encoded(bytes) => {
                let Decoded { image, info, .. } = decode_with_limits(&bytes, &Limits::default())?;
                Ok((image, Some(info)))
            }
            Self::Pixels(image) => Ok((image, None)),
        }
    }

    /// SHA-256 of the stored bytes; of bare pixels with their dimensions.
    pub fn sha256(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        match self {
            Self::Encoded(bytes) => hasher.update(bytes),
            Self::Pixels(image) => {
                for side in [image.height(), image.width(), image.channels()] {
                    hasher.update((side as u64).to_le_bytes());
                }
                hasher.update(image.bytes());
            }
        }
        hasher.finalize().into()
    }
}
