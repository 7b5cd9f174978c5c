//! One file per command.

pub(crate) mod forward;
pub(crate) mod models;
