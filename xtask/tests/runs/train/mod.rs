//! `cargo xtask train`.

mod contract;
mod guards;
mod interruptions;
mod refusals;
