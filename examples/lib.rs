//! Short programs that use the crates, each one idea; `cargo run -p cnn-examples --example <name>`
//! runs one.
#![forbid(unsafe_code)]

/// The README's code is compiled and run with the tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct Readme;

/// The guide's chapters whose code is compiled and run with the tests; the other chapters quote the
/// examples.
#[doc = include_str!("../docs/guide/metrics.md")]
#[cfg(doctest)]
pub struct Metrics;
