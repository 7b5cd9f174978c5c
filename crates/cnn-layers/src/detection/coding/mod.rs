//! Boxes relative to anchors: what a network is trained to say of each.

mod by_size;
mod linear;
mod operation;

pub use by_size::BoxCoder;
pub use linear::BoxLinearCoder;
