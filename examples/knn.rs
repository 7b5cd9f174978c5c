//! k nearest neighbours on the features of a pretrained backbone: no training at all.
//!
//! `cargo run -p cnn-examples --example knn` prints
//!
//! ```text
//!  1 nearest of 2000: 41.8 % right
//!  5 nearest of 2000: 41.6 % right
//! 20 nearest of 2000: 43.0 % right
//! ```
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::{Arc, atomic::AtomicBool};

use cnn::{prelude::*, transfer::FeatureCache};

/// The features of each image, of length 1, and its class.
fn features(network: &Network, shapes: Shapes) -> anyhow::Result<(Tensor, Vec<usize>)> {
    let dataset: Arc<dyn Dataset> = Arc::new(shapes);
    let never = AtomicBool::new(false);
    let found = FeatureCache::default().features(network, &dataset, &never, |_| ())?;
    let found = found.expect("nobody interrupts, and they are few");
    let vectors = found.maps.flatten_from(1)?;
    let lengths = vectors.sqr()?.sum_keepdim(1)?.sqrt()?;
    let labels = found
        .indices
        .iter()
        .filter_map(|&index| dataset.label(index));
    Ok((vectors.broadcast_div(&lengths)?, labels.collect()))
}

fn main() -> anyhow::Result<()> {
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/weights/resnet20_cifar10");
    let network = Network::load(&builtin, &LoadOptions::default())?;
    let shapes = |samples, split| {
        Shapes::new(
            ShapesConfig::default()
                .with_samples(samples)
                .with_split(split),
        )
    };
    let (known, classes) = features(&network, shapes(2000, Split::Train)?)?;
    let (asked, truth) = features(&network, shapes(500, Split::Test)?)?;

    let similarities = asked.matmul(&known.t()?)?.to_vec2::<f32>()?;
    for k in [1, 5, 20] {
        let right = similarities.iter().zip(&truth).filter(|(row, truth)| {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            let mut votes = [0; 10];
            order[..k]
                .iter()
                .for_each(|&near| votes[classes[near]] += 1);
            (0..10).max_by_key(|&class| votes[class]) == Some(**truth)
        });
        let share = 100. * right.count() as f64 / truth.len() as f64;
        println!("{k:2} nearest of {}: {share:.1} % right", classes.len());
    }
    Ok(())
}
