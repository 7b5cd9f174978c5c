//! `cargo xtask train` and `cargo xtask finetune` as their users meet them: the same bytes at any
//! number of threads and after any interruption, the run directory, what was frozen, guards,
//! refusals.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod adapt;
mod adapt_domains;
mod attack;
mod certify;
mod corrupt;
mod defended;
mod detection;
mod finetune;
mod held_out;
mod segmentation;
mod support;
mod train;
