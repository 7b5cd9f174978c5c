//! The procedural dataset `shapes`: textured objects on textured ground, drawn from a seed.

mod canvas;
mod config;
mod dataset;
mod domain;
mod figure;
mod look;
mod noise;
mod palette;
mod parse;
mod render;
mod scene;
mod texture;

pub use config::ShapesConfig;
pub use dataset::Shapes;
pub use domain::ShapesDomain;
