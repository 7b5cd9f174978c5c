//! The memory that an inspection takes is bounded by a batch, whatever the number of images.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use cnn_data::Dataset;
use cnn_models::{ModelConfig, Network};
use cnn_viz::{InspectConfig, inspect};
use common::Noise;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The most megabytes that were held while a network with a dead filter was inspected.
fn peak(images: usize) -> f32 {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    let bias = network.store().get("bn1.bias").unwrap();
    network
        .store()
        .set("bn1.bias", &(bias.ones_like().unwrap() * -1e3).unwrap())
        .unwrap();
    let dataset: Arc<dyn Dataset> = Arc::new(Noise {
        images,
        side: 32,
        faint: 0..0,
    });
    let config = InspectConfig {
        images: 0,
        batch: 8,
        ..InspectConfig::default()
    };
    ALLOCATOR.reset_peak_usage();
    let inspection = inspect(&network, &[dataset], &config, &mut |_| ()).unwrap();
    assert!(inspection.images == images && inspection.totals.removable >= 16);
    ALLOCATOR.peak_usage_as_mb()
}

#[test]
fn memory_does_not_grow_with_the_number_of_images() {
    peak(32);
    let few = peak(32);
    let many = peak(1024);
    assert!(
        many < 1.1 * few + 1.,
        "{few:.1} MB for 32 images, {many:.1} MB for 1024"
    );
}
