//! Which channels go together, layer by layer.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Tensor};
use cnn_compress::{Error, Groups, Selection, without};
use cnn_graph::Graph;
use cnn_layers::{
    Add, Builder, ChannelShuffle, Context, Conv2dConfig, ConvNormActConfig, ConvTranspose2dConfig,
    FeatureMap, Layer, Mode, PadChannels, Padding, SpaceToDepth, StagedBuilder, StagedClassifier,
    Store,
};
use cnn_models::{Build, Error as ModelError, ModelConfig, ModelSpec, Network, preset};

use common::small::Small;

/// What goes with an output channel of a layer: tensors, axes, and positions.
fn with(groups: &Groups, layer: &str, channel: usize) -> Vec<String> {
    let units = groups.units_along(&format!("{layer}.weight"), 0).unwrap();
    let unit = units[channel].unwrap();
    let group = groups
        .groups()
        .iter()
        .find(|group| group.numbers().contains(&unit));
    let group = group.unwrap();
    let slices = &group.units[unit - group.first].slices;
    let text = |slice: &cnn_compress::Slice| {
        format!(
            "{} {} {:?}",
            slice.axis.tensor, slice.axis.axis, slice.range
        )
    };
    slices.iter().map(text).collect()
}

#[test]
fn units_have_the_slices_of_all_that_shares_them() {
    let (_, groups) = Small::of_formula();
    assert_eq!(
        with(&groups, "left", 2),
        [
            "left.weight 0 2..3",
            "left.bias 0 2..3",
            "conv4.weight 1 2..3"
        ]
    );
    // Behind the five channels of the other.
    assert_eq!(
        with(&groups, "right", 1),
        [
            "right.weight 0 1..2",
            "right.bias 0 1..2",
            "conv4.weight 1 6..7"
        ]
    );
    // Four pixels of a flattened map.
    assert_eq!(
        with(&groups, "conv4", 3),
        [
            "conv4.weight 0 3..4",
            "conv4.bias 0 3..4",
            "fc1.weight 1 12..16"
        ]
    );
    let sum = with(&groups, "conv1", 5);
    assert_eq!(sum, with(&groups, "conv3", 5));
    let tensors: Vec<&str> = sum
        .iter()
        .map(|slice| slice.split_once(' ').unwrap().0)
        .collect();
    let expected = [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
        "conv2.weight",
        "conv3.weight",
        "bn3.weight",
        "bn3.bias",
        "bn3.running_mean",
        "bn3.running_var",
        "left.weight",
        "right.weight",
    ];
    assert_eq!(tensors, expected);
    // The class scores stay.
    assert_eq!(groups.of_layer("fc2").count(), 0);
    assert_eq!(groups.units(), 8 + 12 + 5 + 6 + 7 + 9);
}

/// The groups of what `forward` makes of a map with so many channels.
fn groups_of(
    channels: usize,
    forward: impl Fn(&Builder, &FeatureMap, &Context<'_>) -> candle_core::Result<FeatureMap>,
) -> Groups {
    let root = Store::new(0).builder(Mode::Eval);
    let images = Tensor::ones((1, channels, 8, 6), DType::F32, &Device::Cpu).unwrap();
    let images = FeatureMap::from_nchw(&images).unwrap();
    let graph = Graph::watch(&images, |xs, cx| Ok([("logits", forward(&root, xs, cx)?)]));
    Groups::of_graph(graph.unwrap()).unwrap()
}

fn conv(root: &Builder, name: &str, channels: [usize; 2], groups: usize) -> cnn_layers::Conv2d {
    let [from, to] = channels;
    let config = Conv2dConfig::new(from, to, 3)
        .with_padding(Padding::all(1))
        .with_groups(groups)
        .without_bias();
    config.build(&root.pp(name)).unwrap()
}

#[test]
fn every_group_of_a_grouped_convolution_loses_as_many() {
    let groups = groups_of(3, |root, xs, cx| {
        let xs = conv(root, "first", [3, 6], 1).forward(xs, cx)?;
        let xs = conv(root, "grouped", [6, 9], 3).forward(&xs, cx)?;
        conv(root, "last", [9, 2], 1).forward(&xs, cx)
    });
    assert_eq!(
        with(&groups, "first", 1),
        [
            "first.weight 0 1..2",
            "first.weight 0 3..4",
            "first.weight 0 5..6",
            "grouped.weight 1 1..2"
        ]
    );
    assert_eq!(with(&groups, "grouped", 4), with(&groups, "grouped", 1));
    assert_eq!(groups.units(), 2 + 3);
    assert_eq!(groups.groups()[0].channels_per_unit(), 3);
}

#[test]
fn depthwise_convolutions_follow_what_they_read() {
    let groups = groups_of(3, |root, xs, cx| {
        let xs = conv(root, "first", [3, 4], 1).forward(xs, cx)?;
        let xs = conv(root, "depthwise", [4, 8], 4).forward(&xs, cx)?;
        conv(root, "last", [8, 2], 1).forward(&xs, cx)
    });
    assert_eq!(
        with(&groups, "first", 1),
        [
            "first.weight 0 1..2",
            "depthwise.weight 0 2..4",
            "last.weight 1 2..4"
        ]
    );
    assert_eq!(groups.groups()[0].layers, ["first"]);
}

#[test]
fn transposed_convolutions_have_their_axes_the_other_way() {
    let groups = groups_of(3, |root, xs, cx| {
        let xs = conv(root, "first", [3, 4], 1).forward(xs, cx)?;
        let up = ConvTranspose2dConfig::new(4, 5, 2).with_stride(2);
        let xs = up.build(&root.pp("up"))?.forward(&xs, cx)?;
        conv(root, "last", [5, 2], 1).forward(&xs, cx)
    });
    assert_eq!(
        with(&groups, "first", 3),
        ["first.weight 0 3..4", "up.weight 0 3..4"]
    );
    let units = groups.units_along("up.weight", 1).unwrap();
    let last = groups.units_along("last.weight", 1).unwrap();
    assert!(units == last && units.iter().all(Option::is_some));
}

#[test]
fn reordered_channels_keep_who_they_are() {
    let groups = groups_of(2, |root, xs, cx| {
        let xs = conv(root, "first", [2, 6], 1).forward(xs, cx)?;
        let xs = ChannelShuffle::new(2, &root.pp("shuffle")).forward(&xs, cx)?;
        let xs = conv(root, "second", [6, 4], 1).forward(&xs, cx)?;
        let xs = SpaceToDepth::new(&root.pp("pixels")).forward(&xs, cx)?;
        let xs = conv(root, "third", [16, 4], 1).forward(&xs, cx)?;
        let wide = conv(root, "wide", [4, 8], 1).forward(&xs, cx)?;
        let padded = PadChannels::new(2, 2, &root.pp("pad")).forward(&xs, cx)?;
        let xs = Add::new(&root.pp("add")).forward(&wide, &padded, cx)?;
        conv(root, "last", [8, 2], 1).forward(&xs, cx)
    });
    // Both groups lose the channel at one place, and these lie beside each other then.
    assert_eq!(
        with(&groups, "first", 4),
        [
            "first.weight 0 1..2",
            "first.weight 0 4..5",
            "second.weight 1 2..4"
        ]
    );
    let pixels = with(&groups, "second", 3);
    assert_eq!(
        pixels[1..],
        [
            "third.weight 1 3..4",
            "third.weight 1 7..8",
            "third.weight 1 11..12",
            "third.weight 1 15..16"
        ]
    );
    // What is padded lies in the middle; the zeros on both sides go in pairs.
    assert_eq!(
        with(&groups, "third", 1),
        [
            "third.weight 0 1..2",
            "wide.weight 0 3..4",
            "wide.weight 1 1..2",
            "last.weight 1 3..4"
        ]
    );
    assert_eq!(
        with(&groups, "wide", 0),
        [
            "wide.weight 0 0..1",
            "wide.weight 0 6..7",
            "last.weight 1 0..1",
            "last.weight 1 6..7"
        ]
    );
}

/// A layer of one's own that lets its channels be.
struct Doubled;

impl Layer for Doubled {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<FeatureMap> {
        cx.layer("double", "double", &[xs.into()], || {
            FeatureMap::from_nhwc(&(xs.to_nhwc() * 2.)?)
        })
    }
}

#[test]
fn what_a_layer_of_ones_own_reads_and_gives_stays() {
    let groups = groups_of(3, |root, xs, cx| {
        let xs = conv(root, "first", [3, 4], 1).forward(xs, cx)?;
        let xs = conv(root, "second", [4, 5], 1).forward(&xs, cx)?;
        let xs = conv(root, "third", [5, 6], 1).forward(&Doubled.forward(&xs, cx)?, cx)?;
        conv(root, "last", [6, 2], 1).forward(&xs, cx)
    });
    let layers: Vec<&str> = groups
        .groups()
        .iter()
        .flat_map(|group| &group.layers)
        .map(String::as_str)
        .collect();
    assert_eq!(layers, ["first", "third"]);
}

const TINY: ModelSpec = ModelSpec {
    name: "tiny",
    build: Build::Staged(tiny),
    preset: preset::cifar10,
    num_classes: 10,
    first_conv: "stem.0",
    classifier: "fc",
    ..ModelSpec::OWN
};

/// Asks for the width of its second convolution alone.
fn tiny(config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, ModelError> {
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(TINY.in_channels));
    let at = net.at("stem");
    let width = at.pp(2).width(6);
    net.group("stem", &["stem"]);
    net.add(ConvNormActConfig::relu(3, 4, 3).build(&at.pp(0), &at.pp(1))?)
        .add(ConvNormActConfig::relu(4, width, 3).build(&at.pp(2), &at.pp(3))?)
        .set_channels(width);
    net.end_stage("stem");
    Ok(net.linear_classifier("fc", 10, 0.)?)
}

#[test]
fn networks_of_ones_own_lose_what_they_ask_for() {
    let network = Network::of(TINY, &ModelConfig::default(), 0).unwrap();
    network
        .store()
        .set_trainable(false, |name| name.starts_with("stem.3"));
    let groups = Groups::of(&network).unwrap();
    let smaller = |layer: &str| {
        let mut selection = Selection::all(&groups);
        selection.remove(groups.of_layer(layer).next().unwrap().first);
        without(&network, &groups, &selection)
    };
    let left = smaller("stem.2").unwrap();
    assert_eq!(left.store().get("fc.weight").unwrap().dims(), [10, 5]);
    assert_eq!(left.config().model.widths["stem.2"], 5);
    let trainable = left.store().trainable();
    assert!(
        trainable
            .iter()
            .all(|(name, _)| !name.starts_with("stem.3"))
    );
    assert!(trainable.iter().any(|(name, _)| name == "stem.2.weight"));

    let error = smaller("stem.0").unwrap_err();
    assert!(
        matches!(error, Error::Model(ModelError::UnknownWidth { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("stem.0"), "{error}");
    // Those of another network do not fit.
    let other = Network::new("lenet5", &ModelConfig::default(), 0).unwrap();
    let mut selection = Selection::all(&groups);
    selection.remove(0);
    assert!(without(&other, &groups, &selection).is_err());
}
