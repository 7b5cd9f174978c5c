//! Networks that tell the class of every pixel, one file per family. A family is a decoder over the
//! maps of a backbone of `families`, under the names of the library that publishes it.

mod aspp;
pub(crate) mod deeplabv3;
mod encoder;
pub(crate) mod fcn;
pub(crate) mod lraspp;
pub(crate) mod smp_deeplabv3plus;
pub(crate) mod smp_unet;
pub(crate) mod unet;
mod units;

pub(crate) use encoder::{AsBackbone, BackboneArgs};
