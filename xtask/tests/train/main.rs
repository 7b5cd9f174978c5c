//! `cargo xtask train` as its users meet it: the same bytes at any number of threads and after any interruption, the run
//! directory, guards, refusals.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod contract;
mod guards;
mod interruptions;
mod refusals;
mod support;
