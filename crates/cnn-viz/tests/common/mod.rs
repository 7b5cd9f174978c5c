//! Real networks on real images.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use cnn_core::Preprocessing;
use cnn_data::{BatchPlan, Dataset};
use cnn_layers::FeatureMap;
use cnn_models::{LoadOptions, Network};

/// A path below the shared data; `None` where they are absent and may be.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CNN_REQUIRE_SHARED").is_none(), "{} is absent", path.display());
    println!("shared data absent, skipped");
    None
}

/// A published network by its registered name.
pub(crate) fn published(name: &str) -> Option<Network> {
    published_as(name, DType::F32)
}

/// The same with weights of another element type.
pub(crate) fn published_as(name: &str, dtype: DType) -> Option<Network> {
    let (path, model) = match name {
        "resnet20_cifar10" => ("hub/resnet20_cifar10/resnet20-12fca82f.th", Some(name.to_string())),
        "squeezenet1_1" => ("hub/squeezenet1_1.caffe_in1k", None),
        _ => ("hub/mobilenetv2_100.tf_in1k", None),
    };
    Some(Network::load(&shared(path)?, &LoadOptions { model, dtype: Some(dtype), ..LoadOptions::default() }).unwrap())
}

/// Images of a dataset by their numbers, as one batch.
pub(crate) fn batch(dataset: Arc<dyn Dataset>, order: Vec<usize>, record: &Preprocessing) -> FeatureMap {
    let count = order.len();
    let plan = BatchPlan::new(dataset, record.clone()).with_order(order).with_batch_size(count);
    let batch = plan.start().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.len(), count);
    FeatureMap::from_nhwc(&batch.images).unwrap()
}
