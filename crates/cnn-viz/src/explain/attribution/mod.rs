//! Attributions: a value for each channel of each pixel of the input.

pub(crate) mod integrated_gradients;
mod noise;
mod occlusion;

pub(crate) use noise::{Moments, noisy_gradients};
pub(crate) use occlusion::occlusion;
