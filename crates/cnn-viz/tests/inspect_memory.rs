//! The memory that an inspection takes is bounded by a batch, whatever the number of images.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use cnn_core::Key;
use cnn_data::{Content, Dataset, DatasetFormat, Error, Image};
use cnn_models::{ModelConfig, Network};
use cnn_viz::{InspectConfig, inspect};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Images of noise, drawn as they are read.
struct Noise(usize);

impl Dataset for Noise {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Photos
    }

    fn len(&self) -> usize {
        self.0
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn id(&self, index: usize) -> String {
        format!("noise #{index}")
    }

    fn label(&self, _index: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let mut rng = Key::new(7).at(index as u64).rng();
        let bytes = (0..3 * 32 * 32).map(|_| rng.below(256) as u8).collect();
        Ok(Content::Pixels(Image::from_pixels(32, 32, 3, bytes)?))
    }
}

/// The most megabytes that were held while a network with a dead filter was inspected.
fn peak(images: usize) -> f32 {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    let bias = network.store().get("bn1.bias").unwrap();
    network.store().set("bn1.bias", &(bias.ones_like().unwrap() * -1e3).unwrap()).unwrap();
    let dataset: Arc<dyn Dataset> = Arc::new(Noise(images));
    ALLOCATOR.reset_peak_usage();
    let inspection = inspect(&network, &dataset, &InspectConfig { images: 0, batch: 8 }, &mut |_| ()).unwrap();
    assert!(inspection.images == images && inspection.totals.removable >= 16);
    ALLOCATOR.peak_usage_as_mb()
}

#[test]
fn memory_does_not_grow_with_the_number_of_images() {
    peak(32);
    let (few, many) = (peak(32), peak(1024));
    assert!(many < 1.1 * few + 1., "{few:.1} MB for 32 images, {many:.1} MB for 1024");
}
