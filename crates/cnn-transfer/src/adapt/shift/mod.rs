//! Domains made of any images: the same photos as noise, blur, another light, a sketch, a poster or
//! another background show them.

mod backgrounds;
mod blend;
mod blur;
mod color;
mod domain_shift;
mod edges;
mod noise;
mod palette;
mod pixel_image;
mod shifted;

pub use backgrounds::Backgrounds;
pub use domain_shift::DomainShift;
pub use shifted::Shifted;
