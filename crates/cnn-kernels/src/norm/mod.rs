//! Normalisation, and what else computes channel by channel.

pub(crate) mod affine;
pub(crate) mod batch_norm;
pub(crate) mod channel_map;
pub(crate) mod channel_sums;
pub(crate) mod concat_norm;
pub(crate) mod group_norm;
pub(crate) mod l2_norm;
pub(crate) mod layer_norm;
pub(crate) mod layer_scale;
pub(crate) mod moments;
pub(crate) mod pixel_sums;
pub(crate) mod scale_channels;
pub(crate) mod walk;
