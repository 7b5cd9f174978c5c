//! Feature maps, and operations as nodes of candle's graph.

pub(crate) mod channels;
pub(crate) mod combine;
pub(crate) mod element;
pub(crate) mod feature_map;
pub(crate) mod gradient;
pub(crate) mod kernel;
pub(crate) mod tape;
pub(crate) mod zero_pad;
