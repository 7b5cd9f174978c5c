//! One file per command.

pub(crate) mod adapt;
pub(crate) mod attack;
pub(crate) mod bench;
pub(crate) mod certify;
pub(crate) mod corrupt;
pub(crate) mod data;
pub(crate) mod download;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod finetune;
pub(crate) mod forward;
pub(crate) mod inspect;
pub(crate) mod models;
pub(crate) mod predict;
pub(crate) mod push;
pub(crate) mod train;
