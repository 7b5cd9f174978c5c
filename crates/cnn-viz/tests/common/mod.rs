//! Real networks on real images, and images of noise.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use cnn_core::{Key, Preprocessing};
use cnn_data::{BatchPlan, Content, Dataset, DatasetFormat, Error, Image};
use cnn_layers::FeatureMap;
use cnn_models::{LoadOptions, Network, find};

/// A path below the shared data; `None` where they are absent and may be.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
        "{} is absent",
        path.display()
    );
    println!("shared data absent, skipped");
    None
}

/// A published network by its registered name.
pub(crate) fn published(name: &str) -> Option<Network> {
    published_as(name, DType::F32)
}

/// The same with weights of another element type.
pub(crate) fn published_as(name: &str, dtype: DType) -> Option<Network> {
    let (path, spec) = match name {
        "resnet20_cifar10" => (
            "hub/resnet20_cifar10/resnet20-12fca82f.th",
            Some(*find(name).unwrap()),
        ),
        "squeezenet1_1" => ("hub/squeezenet1_1.caffe_in1k", None),
        _ => ("hub/mobilenetv2_100.tf_in1k", None),
    };
    Some(
        Network::load(
            &shared(path)?,
            &LoadOptions {
                spec,
                dtype: Some(dtype),
                ..LoadOptions::default()
            },
        )
        .unwrap(),
    )
}

/// Images of a dataset by their numbers, as one batch.
pub(crate) fn batch(
    dataset: Arc<dyn Dataset>,
    order: Vec<usize>,
    record: &Preprocessing,
) -> FeatureMap {
    let count = order.len();
    let plan = BatchPlan::new(dataset, record.clone())
        .with_order(order)
        .with_batch_size(count);
    let batch = plan.start().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.len(), count);
    FeatureMap::from_nhwc(&batch.images).unwrap()
}

/// Images of noise.
pub(crate) struct Noise {
    pub(crate) images: usize,
    pub(crate) side: usize,
    /// Which of them are much fainter than the others.
    pub(crate) faint: std::ops::Range<usize>,
}

impl Dataset for Noise {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Photos
    }

    fn len(&self) -> usize {
        self.images
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
        let (least, levels) = if self.faint.contains(&index) {
            (122, 8)
        } else {
            (0, 256)
        };
        let bytes = (0..3 * self.side * self.side)
            .map(|_| least + rng.below(levels) as u8)
            .collect();
        Ok(Content::Pixels(Image::from_pixels(
            self.side, self.side, 3, bytes,
        )?))
    }
}
