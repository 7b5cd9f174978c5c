//! Normalisation.

pub(crate) mod affine;
pub(crate) mod batch_norm;
pub(crate) mod channel_map;
pub(crate) mod channel_sums;
pub(crate) mod concat_norm;
pub(crate) mod layer_norm;
pub(crate) mod moments;
pub(crate) mod walk;
