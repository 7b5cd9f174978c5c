//! What the catalogue of published weights says of a file.
#![allow(clippy::unwrap_used)]

use cnn_core::Interpolation;
use cnn_models::{LoadOptions, ModelConfig, Network, find};

#[test]
fn a_file_with_its_published_name_says_its_model_and_how_it_wants_its_images() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::new("squeezenet1_1", &ModelConfig::default(), 0).unwrap();
    let saved = directory.path().join("saved");
    network.save(&saved).unwrap();
    let copy = |name: &str| {
        let path = directory.path().join(name);
        std::fs::copy(saved.join("model.safetensors"), &path).unwrap();
        path
    };

    let published = copy("squeezenet1_1-b8a52dc0.pth");
    let loaded = Network::load(&published, &LoadOptions::default()).unwrap();
    assert_eq!(loaded.spec().name, "squeezenet1_1");
    assert_eq!(
        loaded.preprocessing().interpolation,
        Interpolation::Bilinear
    );

    // Under another name it is prepared for as the model's default says.
    let renamed = copy("renamed.pth");
    assert!(Network::load(&renamed, &LoadOptions::default()).is_err());
    let options = LoadOptions::of(*find("squeezenet1_1").unwrap());
    let loaded = Network::load(&renamed, &options).unwrap();
    assert_eq!(loaded.preprocessing().interpolation, Interpolation::Bicubic);
}

#[test]
fn weights_differ_in_how_they_want_their_images() {
    let of = |model: &str, tag: &str| {
        let mut weights = find(model).unwrap().weights().iter();
        weights
            .find(|source| source.tag == tag)
            .unwrap()
            .preprocessing(find(model).unwrap())
    };
    assert_eq!(of("resnet50", "IMAGENET1K_V1").resize_size(), [256, 256]);
    assert_eq!(of("resnet50", "IMAGENET1K_V2").resize_size(), [232, 232]);
    assert_eq!(of("resnet50", "a3_in1k").input_size, [3, 160, 160]);
    // What torchvision does to the pixels within the network is part of the record here.
    assert_eq!(of("googlenet", "IMAGENET1K_V1").mean, [0.5; 3]);
    assert_eq!(of("tf_efficientnet_b0", "ap_in1k").mean, [0.5; 3]);
}
