//! Fine-tuning a network for pixels: what lies behind the backbone is trained first.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use candle_core::{DType, Tensor};
use cnn_data::{Dataset, Shapes, ShapesConfig, Split};
use cnn_models::{ModelConfig, Network, SegmentationNetwork, find};
use cnn_train::SegmentOptions;
use cnn_transfer::{Error, FineTuneConfig, SegmentationFineTune, Strategy, measure_segmentation};

fn shapes(samples: usize, split: Split) -> Arc<dyn Dataset> {
    let config = ShapesConfig::default().with_samples(samples);
    Arc::new(Shapes::new(config.with_split(split)).unwrap())
}

/// A U-Net over a small classifier.
fn network(classes: usize) -> SegmentationNetwork {
    let classifier = Network::new("test_resnet", &ModelConfig::default(), 1).unwrap();
    let config = ModelConfig {
        num_classes: Some(classes),
        input_size: Some([32, 32]),
        ..ModelConfig::default()
    };
    SegmentationNetwork::over(*find("smp_unet").unwrap(), &classifier, &config, 0).unwrap()
}

#[test]
fn the_decoder_is_trained_alone_and_its_norms_move() {
    let directory = tempfile::tempdir().unwrap();
    let train = shapes(32, Split::Train);
    let classes = train.mask_classes().len();
    let network = network(classes);
    let values = |tensor: &Tensor| -> Vec<f64> {
        let tensor = tensor.to_dtype(DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    let first: Vec<(String, Vec<f64>)> = network
        .store()
        .tensors()
        .into_iter()
        .map(|(name, tensor)| (name, values(&tensor)))
        .collect();

    let config = FineTuneConfig {
        strategy: Strategy::Head,
        head_epochs: 1,
        batch_size: 8,
        ..FineTuneConfig::default()
    };
    let mut tuning = SegmentationFineTune::new(network, train.clone(), shapes(8, Split::Val))
        .with_config(config);
    let summary = tuning.run(directory.path()).unwrap();
    assert_eq!(summary.phases[0].changed, ["head"]);
    for (name, old) in &first {
        let now = tuning.network().store().get(name).unwrap();
        let moved = *old != values(&now);
        // The backbone is as it was; the decoder's statistics are no longer nobody's.
        let of_backbone = name.starts_with("encoder.");
        let is_statistic = name.ends_with("running_mean");
        assert!(!(of_backbone && moved), "{name}");
        assert!(of_backbone || !is_statistic || moved, "{name}");
    }
    let names = tuning.network().label_names().unwrap();
    assert_eq!(names, train.mask_classes());
}

#[test]
fn masks_of_other_classes_are_not_measured() {
    let data = shapes(4, Split::Test);
    let measure = |network: &SegmentationNetwork| {
        let options = SegmentOptions::default();
        measure_segmentation(network, data.as_ref(), &options, &mut |_, _| ()).map(|_| ())
    };
    assert!(matches!(
        measure(&network(5)),
        Err(Error::Classes { network: 5, .. })
    ));
    let mut named = network(data.mask_classes().len());
    measure(&named).unwrap();
    let mut names = data.mask_classes().to_vec();
    names.swap(1, 2);
    named.set_label_names(names).unwrap();
    let message = measure(&named).unwrap_err().to_string();
    assert!(message.contains("does not know the classes"), "{message}");
}
