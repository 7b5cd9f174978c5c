//! Values as pictures.

mod boxes;
mod color_map;
mod grid;
mod heatmap;
mod overlay;
mod resize;
mod thumbnail;

pub use boxes::{PictureBox, draw_boxes, draw_small_boxes};
pub use color_map::ColorMap;
pub use grid::map_grid;
pub use heatmap::Heatmap;
pub use overlay::overlay;
use resize::resize_part;
pub(crate) use resize::resize_values;
pub use thumbnail::thumbnail;
