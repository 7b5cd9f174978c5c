//! Filters killed by hand are found and nothing else is that cannot be removed; receptive fields
//! equal those measured by changing the image.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod custom;
mod findings;
mod killed;
mod other_images;
mod receptive_field;
mod support;
