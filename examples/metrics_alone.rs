//! Metrics without a network: from scores and labels that came from anywhere.
//!
//! `cargo run -p cnn-examples --example metrics_alone` prints
//!
//! ```text
//! top-1 0.75 of 4 samples, 95 % interval 0.30 to 0.95
//! ant: precision 1.00, recall 0.50
//! bee: precision 0.67, recall 1.00
//! ```
#![forbid(unsafe_code)]

use anyhow::Result;
use cnn_metrics::{ClassificationMetrics, wilson_interval};

fn main() -> Result<()> {
    let classes = ["ant", "bee"];
    let mut metrics = ClassificationMetrics::new(classes.len())?;
    // Rows of logits as they come, batch by batch, with the true classes.
    metrics.update(&[2.0, 0.5, 0.1, 0.3], &[0, 0])?;
    metrics.update(&[-1.0, 1.5, 0.2, 0.9], &[1, 1])?;

    let result = metrics.result()?;
    let correct = (result.top1 * result.samples as f64).round() as u64;
    let interval = wilson_interval(correct, result.samples, 0.95)?;
    println!(
        "top-1 {:.2} of {} samples, 95 % interval {:.2} to {:.2}",
        result.top1, result.samples, interval.low, interval.high
    );
    for (name, scores) in classes.iter().zip(&result.per_class) {
        println!(
            "{name}: precision {:.2}, recall {:.2}",
            scores.precision, scores.recall
        );
    }
    assert_eq!(result.top1, 0.75);
    Ok(())
}
