//! Short programs that use the crates, each one idea; `cargo run -p cnn-examples --example <name>` runs one.
#![forbid(unsafe_code)]
