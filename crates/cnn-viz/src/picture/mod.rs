//! Values as pictures.

mod color_map;
mod heatmap;
mod resize;

pub use color_map::ColorMap;
pub use heatmap::Heatmap;
pub(crate) use resize::{resize_part, resize_values};
