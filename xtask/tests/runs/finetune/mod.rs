//! `cargo xtask finetune`.

mod cache;
mod contract;
mod interruptions;
mod refusals;
mod strategies;
