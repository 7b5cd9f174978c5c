//! Attributions: a value for each channel of each pixel of the input.

mod integrated_gradients;
mod noise;
mod occlusion;

pub(crate) use integrated_gradients::integrated_gradients;
pub(crate) use noise::{Moments, noisy_gradients};
pub(crate) use occlusion::occlusion;
