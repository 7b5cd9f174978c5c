//! A program says once that its kernels are slow, if they were compiled so, and is silent
//! otherwise.
//!
//! Run as it is, this holds the optimised build; `.ci/run` runs it a second time with kernels that
//! are not optimised.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use candle_core::{DType, Device, Tensor};
use cnn_kernels::{FeatureMap, build_profile, global_avg_pool};

/// Set in the process that only works.
const CHILD: &str = "CNN_TEST_CHILD";

#[test]
fn the_level_is_that_of_the_profile() {
    // The workspace's profiles, and the level that CI compiles a second time with.
    let expected = std::env::var("CNN_EXPECTED_OPT_LEVEL").unwrap_or_else(|_| "3".to_string());
    assert_eq!(build_profile().opt_level, expected);
    assert_eq!(
        build_profile().is_slow(),
        !matches!(expected.as_str(), "2" | "3")
    );
}

#[test]
fn two_operations() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let images =
        FeatureMap::from_nhwc(&Tensor::ones((1, 4, 5, 3), DType::F32, &Device::Cpu).unwrap())
            .unwrap();
    global_avg_pool(&images).unwrap();
    global_avg_pool(&images).unwrap();
}

#[test]
fn a_slow_build_says_so_once_and_a_fast_one_does_not() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child
        .args(["--exact", "two_operations", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    let said = String::from_utf8_lossy(&output.stderr).to_string();
    let expected = build_profile()
        .warning()
        .map_or(String::new(), |warning| format!("warning: {warning}\n"));
    assert_eq!(said, expected);
}
