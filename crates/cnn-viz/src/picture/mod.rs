//! Values as pictures.

mod color_map;

pub use color_map::ColorMap;
