//! A network of one's own, with squeeze-and-excitation and a convolution that works twice.

use candle_core::{Device, Result, Tensor};
use cnn_core::Key;
use cnn_layers::{
    Backbone, BlockOptions, Classifier, Context, Conv2d, Conv2dConfig, FeatureMap, Flatten,
    GlobalAvgPool2d, InvertedResidualConfig, Layer, LayerGroup, Linear, LinearConfig, MobileBlock,
    Mode, Padding, SqueezeExciteConfig, StageInfo, Store,
};
use cnn_viz::{FilterGraph, ReceptiveField};

struct Own {
    stem: Conv2d,
    block: MobileBlock,
    pool: GlobalAvgPool2d,
    flatten: Flatten,
    head: Linear,
    stages: [StageInfo; 2],
}

impl Own {
    fn build(store: &Store) -> Self {
        let root = store.builder(Mode::Eval);
        let stage = |module: &str, channels| StageInfo {
            module: module.to_string(),
            channels,
            reduction: 1,
        };
        let options = BlockOptions::new().with_squeeze_excite(SqueezeExciteConfig::new(12, 3));
        Self {
            stem: Conv2dConfig::new(4, 4, 3)
                .with_padding(Padding::all(1))
                .build(&root.pp("stem"))
                .unwrap(),
            block: InvertedResidualConfig::new(4, 12, 6, 1)
                .with_options(options)
                .build(&root.pp("block"))
                .unwrap(),
            pool: GlobalAvgPool2d::new().at(&root.pp("pool")),
            flatten: Flatten::new(&root.pp("flatten")),
            head: LinearConfig::new(6, 5).build(&root.pp("head")).unwrap(),
            stages: [stage("stem", 4), stage("block", 6)],
        }
    }
}

impl Backbone for Own {
    fn layer_groups(&self) -> &[LayerGroup] {
        &[]
    }

    fn stages(&self) -> &[StageInfo] {
        &self.stages
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        let stem = self.stem.forward(&self.stem.forward(xs, cx)?, cx)?;
        let block = self.block.forward(&stem, cx)?;
        Ok(vec![stem, block])
    }

    fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        if stage == 0 {
            self.block.forward(xs, cx)
        } else {
            Ok(xs.clone())
        }
    }
}

impl Classifier for Own {
    fn num_classes(&self) -> usize {
        5
    }

    fn num_features(&self) -> usize {
        6
    }

    fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let pooled = self.pool.forward(features, cx)?;
        self.head.forward(&self.flatten.forward(&pooled, cx)?, cx)
    }
}

fn graph() -> FilterGraph {
    let store = Store::new(0);
    let mut values = vec![0.; 9 * 7 * 4];
    Key::new(1).rng().fill_uniform(&mut values, -1., 1.);
    let noise = Tensor::from_vec(values, (1, 9, 7, 4), &Device::Cpu).unwrap();
    FilterGraph::watch(
        &Own::build(&store),
        &store,
        &FeatureMap::from_nhwc(&noise).unwrap(),
    )
    .unwrap()
}

#[test]
fn behind_a_squeeze_and_excitation_the_whole_image_is_seen() {
    let graph = graph();
    let field = |stage: usize| graph.stages[stage].receptive_field;
    assert_eq!(
        field(0),
        Some(ReceptiveField::Pixels {
            size: [5, 5],
            jump: [1, 1]
        })
    );
    assert_eq!(field(1), Some(ReceptiveField::WholeImage));
    assert_eq!(
        serde_json::to_value(&graph.stages[1]).unwrap()["receptive_field"],
        "whole image"
    );
    let depthwise = graph
        .units
        .iter()
        .find(|unit| unit.conv == "block.conv_dw")
        .unwrap();
    assert_eq!(
        depthwise.receptive_field,
        Some(ReceptiveField::Pixels {
            size: [7, 7],
            jump: [1, 1]
        })
    );
    // The squeeze reads the channels' means; the projection reads them weighted.
    let readers: Vec<_> = depthwise
        .readers
        .iter()
        .map(|reader| (reader.layer.as_str(), reader.scaled))
        .collect();
    assert_eq!(
        readers,
        [("block.se.conv_reduce", false), ("block.conv_pwl", true)]
    );
}

#[test]
fn a_convolution_that_works_twice_is_seen_twice() {
    let graph = graph();
    let stems: Vec<_> = graph
        .units
        .iter()
        .filter(|unit| unit.conv == "stem")
        .collect();
    assert_eq!(stems.len(), 2);
    assert_eq!(stems[0].readers[0].layer, "stem");
    assert_eq!(stems[1].readers[0].layer, "block.conv_pw");
}
