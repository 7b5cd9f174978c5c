//! Short programs that use the crates, each one idea; `cargo run -p cnn-examples --example <name>` runs one.
#![forbid(unsafe_code)]

/// The README's code is compiled and run with the tests.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct Readme;
