//! What is done to images before a network sees them.

use crate::{Error, Images};

/// A function of each image by itself, and how an attack goes back through it.
pub trait InputTransform {
    /// Its name with its setting, as in the command line: `jpeg:75`.
    fn name(&self) -> String;

    /// The images that the network sees.
    ///
    /// # Errors
    /// If the images are none that it takes.
    fn apply(&self, images: &Images) -> Result<Images, Error>;

    /// The gradient by `images` from that by what became of them. Default: the same, which is what
    /// BPDA takes for a function that has no useful derivative and changes little (Athalye et al.
    /// 2018, section 4.1.1).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    fn backward(&self, images: &Images, gradient: Images) -> Result<Images, Error> {
        let _ = images;
        Ok(gradient)
    }
}
