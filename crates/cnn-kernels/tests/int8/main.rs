//! Integer kernels against plain loops over i64, the same bits with every instruction set and any
//! number of threads.
//!
//! `CNN_ISA` is read once per process, so this program runs itself again for each set.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod convolution;
mod golden;
mod operations;
mod plain;

use cnn_kernels::InstructionSet;

#[test]
fn every_instruction_set_passes() {
    common::run_again_with(&InstructionSet::ALL, "every_instruction_set_passes");
}

/// Runs `work` on so many threads.
fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(work)
}
