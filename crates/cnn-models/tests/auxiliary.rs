//! Networks with auxiliary heads, loaded from files that have them and from files that do not.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use cnn_layers::{Classifier, Context, FeatureMap};
use cnn_models::{LoadOptions, ModelConfig, Network, find};
use cnn_weights::save_safetensors;

fn fresh() -> Network {
    let config = ModelConfig {
        num_classes: Some(3),
        ..ModelConfig::default()
    };
    Network::new("googlenet", &config, 7).unwrap()
}

/// A bare weight file with some of a network's tensors.
fn write(network: &Network, path: &Path, keep: impl Fn(&str) -> bool) {
    let tensors: Vec<(String, Tensor)> = network
        .store()
        .tensors()
        .into_iter()
        .filter(|(name, _)| keep(name))
        .collect();
    save_safetensors(path, &tensors, &BTreeMap::new()).unwrap();
}

fn load(path: &Path) -> Network {
    Network::load(path, &LoadOptions::of(*find("googlenet").unwrap())).unwrap()
}

fn scores(model: &dyn Classifier) -> Vec<Vec<f32>> {
    let images = Tensor::ones((1, 3, 40, 33), DType::F32, &Device::Cpu).unwrap();
    let images = FeatureMap::from_nchw(&images).unwrap();
    let scores = model.forward(&images, &Context::eval()).unwrap();
    scores.to_vec2().unwrap()
}

#[test]
fn a_network_has_the_auxiliary_heads_that_its_file_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    let network = fresh();
    assert_eq!(network.model().auxiliary_heads(), ["aux1", "aux2"]);

    write(&network, &path, |_| true);
    let whole = load(&path);
    assert_eq!(whole.model().auxiliary_heads(), ["aux1", "aux2"]);
    assert!(!whole.loaded_from().without_auxiliary);
    assert!(whole.report().is_exact());

    write(&network, &path, |name| !name.starts_with("aux"));
    let without = load(&path);
    assert!(without.model().auxiliary_heads().is_empty());
    assert!(without.loaded_from().without_auxiliary);
    assert!(without.report().is_exact());
    assert_eq!(without.config().model.args["aux_logits"], false);
    assert!(scores(without.model()) == scores(network.model()));

    // Half of them is a file that lacks something.
    write(&network, &path, |name| name != "aux2.fc1.weight");
    let options = LoadOptions::of(*find("googlenet").unwrap());
    let error = Network::load(&path, &options).unwrap_err();
    assert!(error.to_string().contains("aux2.fc1.weight"), "{error}");
}

#[test]
fn a_directory_says_whether_its_network_has_auxiliary_heads() {
    let directory = tempfile::tempdir().unwrap();
    let network = fresh();
    network.save(directory.path()).unwrap();
    // timm and torchvision build it with the same word.
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let config: serde_json::Value = serde_json::from_str(&read("config.json")).unwrap();
    assert_eq!(config["model_args"]["aux_logits"], true);
    let again = Network::load(directory.path(), &LoadOptions::default()).unwrap();
    assert_eq!(again.model().auxiliary_heads(), ["aux1", "aux2"]);

    // What is asked for and missing is named.
    let weights = directory.path().join("model.safetensors");
    write(&network, &weights, |name| !name.starts_with("aux"));
    let error = Network::load(directory.path(), &LoadOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("aux1.conv.conv.weight"),
        "{error}"
    );

    // What is not asked for is left out, and reported.
    network.save(directory.path()).unwrap();
    let other = read("config.json").replace("\"aux_logits\": true", "\"aux_logits\": false");
    std::fs::write(directory.path().join("config.json"), other).unwrap();
    let without = Network::load(directory.path(), &LoadOptions::default()).unwrap();
    assert!(without.model().auxiliary_heads().is_empty());
    assert!(!without.loaded_from().without_auxiliary);
    let unused = &without.report().unexpected;
    assert!(unused.iter().any(|name| name == "aux1.fc2.bias"));
}

#[test]
fn the_word_is_true_or_false() {
    let config = ModelConfig::default().with_arg("aux_logits", "yes");
    let error = Network::new("googlenet", &config, 0).unwrap_err();
    let expected = "aux_logits is \"yes\", expected true or false";
    assert!(error.to_string().contains(expected), "{error}");
}
