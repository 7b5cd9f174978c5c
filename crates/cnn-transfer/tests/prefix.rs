//! Layer-wise rates and freezing of a network that is no classifier: a dense head on a backbone
//! under a path of its own.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use cnn_layers::{Conv2dConfig, LayerGroup, Mode, Store};
use cnn_models::{ModelConfig, find};
use cnn_transfer::{FineTuneConfig, Strategy};

#[test]
fn rates_fall_from_the_head_through_a_backbone_under_a_prefix() {
    let store = Store::new(0);
    let root = store.builder(Mode::Train);
    let backbone = find("resnet18")
        .unwrap()
        .build_backbone(&ModelConfig::default(), &root.pp("encoder"), Some(&[1, 2]))
        .unwrap();
    let score = Conv2dConfig::new(backbone.stages()[1].channels, 5, 1);
    score.build(&root.pp("score")).unwrap();
    let head = LayerGroup::new("head", ["score"]);
    let groups: Vec<LayerGroup> = backbone
        .layer_groups()
        .iter()
        .cloned()
        .chain([head])
        .collect();

    let config = FineTuneConfig {
        strategy: Strategy::TwoPhase,
        learning_rate: 1e-3,
        body_scale: 0.1,
        layer_decay: 0.5,
        ..FineTuneConfig::default()
    };
    let phases = config.phases(&groups).unwrap();
    assert_eq!(phases.len(), 2);

    // The head alone first.
    phases[0].apply(&store);
    let trainable: Vec<String> = store
        .trainable()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(trainable, ["score.weight", "score.bias"]);

    // Then everything: the head's rate, a tenth of it, and half of that for each group below.
    phases[1].apply(&store);
    let mut rates = BTreeMap::new();
    for group in phases[1].param_groups(&store, 0.01) {
        for (name, _) in &group.parameters {
            let before = rates.insert(name.clone(), group.lr_scale * phases[1].learning_rate());
            assert_eq!(before, None, "{name} is in two groups");
        }
    }
    assert_eq!(rates.len(), store.trainable().len());
    for (name, expected) in [
        ("score.weight", 1e-3),
        ("encoder.layer2.1.conv2.weight", 1e-4),
        ("encoder.layer2.0.downsample.1.bias", 1e-4),
        ("encoder.layer1.0.bn1.weight", 5e-5),
        ("encoder.conv1.weight", 2.5e-5),
    ] {
        assert!(
            (rates[name] - expected).abs() < 1e-12,
            "{name}: {}",
            rates[name]
        );
    }
}
