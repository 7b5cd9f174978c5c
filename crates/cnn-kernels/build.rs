//! Tells the crate the optimisation level that it is compiled with: rustc has no `cfg` for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo's is that of this very package, also where a profile singles it out. Other build
    // systems may have none.
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo::rustc-env=CNN_KERNELS_OPT_LEVEL={level}");
}
