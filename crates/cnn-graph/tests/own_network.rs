//! The graph of networks of one's own: every kind of layer, several outputs, and what is an error.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Result, Tensor};
use cnn_graph::{Error, Graph, OwnedValue, Source};
use cnn_layers::{
    Activate, Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, Add, AvgPool2d, Backbone,
    ChannelShuffle, ChannelSlice, Concat, Context, Conv2d, Conv2dConfig, ConvNormAct,
    ConvNormActConfig, ConvTranspose2dConfig, Dropout, Dropout2d, FeatureMap, Flatten,
    GlobalAvgPool2d, GlobalMaxPool2d, GroupNorm, GroupNormConfig, Interpolation, L2Norm2d,
    L2Norm2dConfig, Layer, LayerKind, LayerNorm2d, LayerNorm2dConfig, LayerScale, LayerScaleConfig,
    Linear, LinearConfig, LinearHead, MaxPool2d, Mode, PadChannels, Padding, Residual, ResidualSum,
    Resize2d, ResizeLike, ResizeTo, Softmax, SqueezeExcite, SqueezeExciteConfig, StagedBuilder,
    Store, TensorKind, Window,
};

use common::{apart, images, stir};

/// A layer of each kind. The maps after the stem have as many rows and columns as the images.
struct Everything {
    stem: ConvNormAct,
    smooth: AvgPool2d,
    block: Residual,
    squeeze_excite: SqueezeExcite,
    norm: LayerNorm2d,
    group_norms: [GroupNorm; 2],
    per_pixel: Conv2d,
    scale: LayerScale,
    unit: L2Norm2d,
    bins: [Box<dyn Layer>; 2],
    resizings: [Box<dyn Layer>; 3],
    like: ResizeLike,
    up: Resize2d,
    add: Add,
    pad: PadChannels,
    concat: Concat,
    shuffle: ChannelShuffle,
    slice: ChannelSlice,
    dilated: Conv2d,
    gate: [Box<dyn Layer>; 3],
    pools: [Box<dyn Layer>; 2],
    head: Concat,
    flatten: Flatten,
    hidden: Linear,
    act: Activate,
    dropout: Dropout,
    scores: Linear,
    softmax: Softmax,
}

impl Everything {
    fn build(store: &Store, mode: Mode) -> Self {
        let root = store.builder(mode);
        let at = |name: &str| root.pp(name);
        let window = Window {
            stride: [2, 1],
            padding: Padding::all(1),
            ceil_mode: true,
            ..Window::new([3, 3])
        };
        let unit = |name: &str, activation| {
            let config = ConvNormActConfig::relu(6, 6, 3).with_activation(activation);
            config
                .build(&at(name).pp("conv"), &at(name).pp("bn"))
                .unwrap()
        };
        let branch = [unit("block.0", Activation::LeakyRelu(0.1))];
        let last = unit("block.1", Activation::Identity);
        let silu = Activate::new(Activation::Silu, &at("block.act"));
        let sum = ResidualSum::new(0.3, Some(silu), &at("block")).unwrap();
        let dilated = Conv2dConfig::new(16, 8, 3)
            .with_kernel_size(3, 1)
            .with_groups(4)
            .with_dilation(2)
            .with_padding(Padding::Same);
        let transposed = ConvTranspose2dConfig::new(6, 6, 3)
            .with_kernel_size(3, 2)
            .with_strides(2, 3)
            .with_padding(1)
            .with_output_padding(1)
            .with_groups(2);
        let [edges, corners] =
            [false, true].map(|align_corners| Interpolation::Bilinear { align_corners });
        let linear = |from, to, name| LinearConfig::new(from, to).build(&at(name)).unwrap();
        Self {
            stem: ConvNormActConfig::relu(3, 6, 3)
                .with_activation(Activation::HardSwish)
                .build(&at("stem"), &at("stem_bn"))
                .unwrap(),
            smooth: AvgPool2d::with_window(window, false).at(&at("smooth")),
            block: Residual::with_sum(branch.into_iter().collect(), last, sum),
            squeeze_excite: SqueezeExciteConfig::new(6, 3)
                .with_gate(Activation::HardSigmoid)
                .build(&at("se"))
                .unwrap(),
            norm: LayerNorm2dConfig::new(6)
                .with_eps(0.01)
                .build(&at("norm"))
                .unwrap(),
            group_norms: [
                GroupNormConfig::new(3, 6)
                    .with_eps(0.1)
                    .build(&at("group_norm"))
                    .unwrap(),
                GroupNormConfig::new(2, 6)
                    .without_affine()
                    .build(&at("plain_norm"))
                    .unwrap(),
            ],
            per_pixel: Conv2dConfig::new(6, 6, 1)
                .with_linear_weight()
                .build(&at("per_pixel"))
                .unwrap(),
            scale: LayerScaleConfig::new(6).build(&at("scale")).unwrap(),
            unit: L2Norm2dConfig::new(6)
                .with_eps(1e-3)
                .build(&at("unit"))
                .unwrap(),
            bins: [
                Box::new(AdaptiveAvgPool2d::new([3, 5]).at(&at("avg_bins"))),
                Box::new(AdaptiveMaxPool2d::new([3, 5]).at(&at("max_bins"))),
            ],
            resizings: [
                Box::new(transposed.build(&at("transposed")).unwrap()),
                Box::new(Dropout2d::new(0.5, &at("channel_drop")).unwrap()),
                Box::new(Resize2d::new(ResizeTo::Factor([0.5, 0.7]), edges).at(&at("down"))),
            ],
            like: ResizeLike::new(corners, &at("like")),
            up: Resize2d::new(ResizeTo::Size([7, 9]), Interpolation::Nearest).at(&at("up")),
            add: Add::new(&at("add")),
            pad: PadChannels::new(3, 5, &at("pad")),
            concat: Concat::new(&at("concat")),
            shuffle: ChannelShuffle::new(4, &at("shuffle")),
            slice: ChannelSlice::new(2..18, &at("slice")),
            dilated: dilated.build(&at("dilated")).unwrap(),
            gate: [
                Box::new(Activate::new(Activation::GeluTanh, &at("gelu"))),
                Box::new(Dropout::new(0.5, &at("map_drop")).unwrap()),
                Box::new(Softmax::new(&at("pixel_softmax"))),
            ],
            pools: [
                Box::new(GlobalAvgPool2d::new().at(&at("mean"))),
                Box::new(GlobalMaxPool2d::new().at(&at("largest"))),
            ],
            head: Concat::new(&at("head")),
            flatten: Flatten::new(&at("flatten")),
            hidden: linear(16, 12, "hidden"),
            act: Activate::new(Activation::Tanh, &at("act")),
            dropout: Dropout::new(0.5, &at("drop")).unwrap(),
            scores: linear(12, 4, "scores"),
            softmax: Softmax::new(&at("softmax")),
        }
    }

    fn forward(
        &self,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<[(&'static str, OwnedValue); 3]> {
        let xs = self.smooth.forward(&self.stem.forward(xs, cx)?, cx)?;
        let xs = self.block.forward(&xs, cx)?;
        let xs = self
            .norm
            .forward(&self.squeeze_excite.forward(&xs, cx)?, cx)?;
        let mut norms = self.group_norms.iter();
        let xs = norms.try_fold(xs, |xs, norm| norm.forward(&xs, cx))?;
        let xs = self.scale.forward(&self.per_pixel.forward(&xs, cx)?, cx)?;
        let xs = self.unit.forward(&xs, cx)?;
        let [averages, largest] = [&self.bins[0], &self.bins[1]].map(|bin| bin.forward(&xs, cx));
        let bins = self.add.forward(&averages?, &largest?, cx)?;
        let mut resizings = self.resizings.iter();
        let resized = resizings.try_fold(bins, |xs, layer| layer.forward(&xs, cx))?;
        let up = self
            .up
            .forward(&self.like.forward(&resized, &xs, cx)?, cx)?;
        // Read twice, also after the layers behind it.
        let maps = self
            .concat
            .forward(&[&self.pad.forward(&up, cx)?, &up], cx)?;
        let maps = self.shuffle.forward(&maps, cx)?;
        let maps = self.slice.forward(&maps, cx)?;
        let maps = self.dilated.forward(&maps, cx)?;
        let gated = self
            .gate
            .iter()
            .try_fold(maps, |xs, layer| layer.forward(&xs, cx))?;
        let [mean, largest] = [&self.pools[0], &self.pools[1]].map(|pool| pool.forward(&gated, cx));
        let pooled = self.head.forward(&[&mean?, &largest?], cx)?;
        let features = self.flatten.forward(&pooled, cx)?;
        let hidden = self
            .act
            .forward_vectors(&self.hidden.forward(&features, cx)?, cx)?;
        let hidden = self.dropout.forward_vectors(&hidden, cx)?;
        let scores = self.scores.forward(&hidden, cx)?;
        let probabilities = self.softmax.forward_vectors(&scores, cx)?;
        Ok([
            ("maps", gated.into()),
            ("scores", scores.into()),
            ("probabilities", probabilities.into()),
        ])
    }
}

#[test]
fn every_kind_of_layer_runs_on_other_images_than_were_watched() {
    for (dtype, limit) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
        let store = Store::with_dtype(3, dtype, &Device::Cpu);
        let network = Everything::build(&store, Mode::Eval);
        stir(&store);
        let noise = |shape| {
            let values = images(shape).to_nhwc().to_dtype(dtype).unwrap();
            FeatureMap::from_nhwc(&values).unwrap()
        };
        let graph = Graph::watch(&noise([1, 3, 12, 10]), |xs, cx| network.forward(xs, cx)).unwrap();
        for shape in [[1, 3, 12, 10], [5, 3, 12, 10], [2, 3, 9, 17]] {
            let xs = noise(shape);
            let found = graph.run(&store, &xs).unwrap();
            let expected = network.forward(&xs, &Context::eval()).unwrap();
            assert_eq!(found.len(), expected.len());
            for (name, expected) in expected {
                let difference = apart(&found[name], &expected);
                assert!(
                    difference < limit,
                    "{name} {shape:?} {dtype:?}: {difference}"
                );
            }
        }
        // As learnable values count, a tensor of each layer.
        assert_eq!(graph.parameter_count().unwrap(), store.parameter_count());
    }
}

#[test]
fn nodes_say_what_the_layers_were_built_with_and_who_reads_them() {
    let store = Store::new(0);
    let network = Everything::build(&store, Mode::Eval);
    let xs = images([1, 3, 12, 10])
        .to_nhwc()
        .to_dtype(DType::F32)
        .unwrap();
    let xs = FeatureMap::from_nhwc(&xs).unwrap();
    let graph = Graph::watch(&xs, |xs, cx| network.forward(xs, cx)).unwrap();
    let find = |path: &str| {
        let place = graph.nodes().iter().position(|node| node.path == path);
        place.unwrap_or_else(|| panic!("no node {path}"))
    };
    let node = |path: &str| &graph.nodes()[find(path)];
    let LayerKind::Conv2d {
        window,
        groups,
        bias,
    } = node("dilated").kind
    else {
        panic!("{:?}", node("dilated").kind)
    };
    assert_eq!(
        (window.kernel_size, window.dilation, window.padding),
        ([3, 1], [2, 2], Padding::Same)
    );
    assert_eq!((groups, bias), (4, true));
    assert_eq!(node("norm").kind, LayerKind::LayerNorm { eps: 0.01 });
    let grouped = LayerKind::GroupNorm {
        groups: 3,
        eps: 0.1,
        affine: true,
    };
    assert_eq!(node("group_norm").kind, grouped);
    assert_eq!(
        node("group_norm").tensors().unwrap()[1].name,
        "group_norm.bias"
    );
    assert!(node("plain_norm").tensors().unwrap().is_empty());
    assert_eq!(node("per_pixel").kind, LayerKind::Linear { bias: true });
    assert_eq!(node("per_pixel").tensors().unwrap()[0].shape, [6, 6]);
    assert_eq!(
        node("per_pixel").multiply_adds().unwrap(),
        6 * 6 * node("per_pixel").extent().iter().product::<usize>() as u64
    );
    assert_eq!(node("scale.gamma").kind, LayerKind::LayerScale);
    assert_eq!(
        node("unit.scale_weight").kind,
        LayerKind::L2Norm { eps: 1e-3 }
    );
    assert_eq!(
        node("unit.scale_weight").tensors().unwrap()[0].name,
        "unit.scale_weight"
    );
    assert_eq!(
        node("scale.gamma").tensors().unwrap()[0].name,
        "scale.gamma"
    );
    assert_eq!(
        node("shuffle").kind,
        LayerKind::ChannelShuffle { groups: 4 }
    );
    let slice = LayerKind::ChannelSlice {
        start: 2,
        channels: 16,
    };
    assert_eq!(node("slice").kind, slice);
    assert_eq!(node("drop").kind, LayerKind::Dropout { p: 0.5 });
    assert_eq!(node("channel_drop").kind, LayerKind::Dropout2d { p: 0.5 });
    let LayerKind::ConvTranspose2d {
        window,
        output_padding,
        groups,
        bias,
    } = node("transposed").kind
    else {
        panic!("{:?}", node("transposed").kind)
    };
    assert_eq!((window.kernel_size, window.stride), ([3, 2], [2, 3]));
    assert_eq!((output_padding, groups, bias), ([1, 1], 2, true));
    assert_eq!(node("transposed").tensors().unwrap()[0].shape, [6, 3, 3, 2]);
    assert_eq!(
        node("transposed").multiply_adds().unwrap(),
        6 * 3 * 3 * 2 * 3 * 5
    );
    let resized = |path: &str| match node(path).kind {
        LayerKind::Resize { to, .. } => to,
        other => panic!("{other:?}"),
    };
    assert_eq!(resized("up"), ResizeTo::Size([7, 9]));
    assert_eq!(resized("down"), ResizeTo::Factor([0.5, 0.7]));
    assert_eq!(node("like").inputs.len(), 2);
    assert_eq!(node("block.drop_path").kind, LayerKind::DropPath { p: 0.3 });
    assert_eq!(
        node("gelu").kind,
        LayerKind::Activation(Activation::GeluTanh)
    );
    let LayerKind::AvgPool {
        count_include_pad, ..
    } = node("smooth").kind
    else {
        panic!("{:?}", node("smooth").kind)
    };
    assert!(!count_include_pad);
    // Dropout, which passes on what it reads, has readers of its own.
    assert_eq!(
        node("scores").inputs,
        [Source::Node(find("drop"))],
        "{graph:?}"
    );
    assert_eq!(
        node("block").inputs[0],
        Source::Node(find("block.drop_path"))
    );
    assert_eq!(node("block").inputs[1], Source::Node(find("smooth")));
    assert_eq!(
        node("se").inputs,
        [
            Source::Node(find("block.act")),
            Source::Node(find("se.gate"))
        ]
    );
    let readers: Vec<_> = graph
        .readers(find("up"))
        .iter()
        .map(|reader| (reader.node, reader.input))
        .collect();
    assert_eq!(readers, [(find("pad"), 0), (find("concat"), 1)]);
    assert_eq!(node("pad").input_shapes, [[6, 7, 9]]);
    assert_eq!(node("pad").shape, [14, 7, 9]);
    let tensors = node("stem_bn").tensors().unwrap();
    let names: Vec<_> = tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor.kind))
        .collect();
    let expected = [
        ("stem_bn.weight", TensorKind::Parameter),
        ("stem_bn.bias", TensorKind::Parameter),
        ("stem_bn.running_mean", TensorKind::Buffer),
        ("stem_bn.running_var", TensorKind::Buffer),
    ];
    assert_eq!(names, expected);
    assert_eq!(node("dilated").multiply_adds().unwrap(), 8 * 4 * 3 * 7 * 9);
}

/// A chain with an auxiliary head in its middle, under a prefix.
fn with_auxiliary_head(store: &Store) -> cnn_layers::StagedClassifier {
    let root = store.builder(Mode::Eval).pp("student");
    let mut net = StagedBuilder::new(&root, 3);
    for (name, width) in [("layer1", 8), ("layer2", 12)] {
        let unit = ConvNormActConfig::relu(net.channels(), width, 3).with_stride(2);
        let at = net.at(name);
        net.group(name, &[name]);
        net.add(unit.build(&at.pp(0), &at.pp(1)).unwrap())
            .set_channels(width)
            .add_stride(2);
        net.end_stage(name);
        if name == "layer1" {
            let head = LinearHead::build(&net.at("aux"), "fc", 8, 5, 0.1).unwrap();
            net.auxiliary("aux", 0.3, head);
        }
    }
    net.linear_classifier("fc", 5, 0.).unwrap()
}

#[test]
fn a_network_with_two_outputs_and_a_bare_backbone_have_graphs() {
    let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
    let model = with_auxiliary_head(&store);
    stir(&store);
    let outputs = |xs: &FeatureMap, cx: &Context<'_>| {
        use cnn_layers::Classifier as _;
        let outputs = model.forward_outputs(xs, cx)?;
        let auxiliary = outputs.auxiliary.into_iter();
        let auxiliary = auxiliary.map(|head| (head.head, head.output));
        Ok([("main".to_string(), outputs.main)]
            .into_iter()
            .chain(auxiliary))
    };
    let graph = Graph::watch(&images([1, 3, 16, 12]), outputs).unwrap();
    let xs = images([3, 3, 16, 12]);
    let found = graph.run(&store, &xs).unwrap();
    let expected: Vec<_> = outputs(&xs, &Context::eval()).unwrap().collect();
    assert_eq!(expected.len(), 2);
    for (name, expected) in expected {
        assert!(apart(&found[&name], &expected.into()) < 1e-12, "{name}");
    }

    let backbone = model.into_backbone();
    let graph = Graph::of_backbone(&backbone, &images([1, 3, 16, 12])).unwrap();
    let names: Vec<_> = graph
        .outputs()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["stage0", "stage1"]);
    let found = graph.run(&store, &xs).unwrap();
    let stages = backbone.forward_stages(&xs, &Context::eval()).unwrap();
    assert!(apart(&found["stage1"], &stages[1].clone().into()) < 1e-12);
}

/// Half of each value, as the layer of one's own at a path.
struct Halve(&'static str);

impl Layer for Halve {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        cx.layer(self.0, "halve", &[xs.into()], || halved(xs))
    }
}

fn halved(xs: &FeatureMap) -> Result<FeatureMap> {
    FeatureMap::from_nhwc(&(xs.to_nhwc() * 0.5)?)
}

fn conv(store: &Store, name: &str) -> Conv2d {
    let root = store.builder(Mode::Eval);
    Conv2dConfig::new(3, 3, 1).build(&root.pp(name)).unwrap()
}

#[test]
fn a_kind_of_ones_own_is_in_the_graph_and_refused_by_name_where_it_would_have_to_be_known() {
    let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
    let conv = conv(&store, "conv");
    let xs = images([1, 3, 4, 5]);
    let graph = Graph::watch(&xs, |xs, cx| {
        let seen = conv.forward(xs, cx)?;
        Ok([
            ("halved", Halve("trunk.halve").forward(&seen, cx)?),
            ("seen", seen),
        ])
    })
    .unwrap();
    assert_eq!(graph.nodes()[1].kind, LayerKind::Custom("halve"));
    assert_eq!(graph.nodes()[1].inputs, [Source::Node(0)]);
    let refusals = [
        graph.run(&store, &xs).map(|_| ()),
        graph.parameter_count().map(|_| ()),
        graph.multiply_adds().map(|_| ()),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert_eq!(
            error.to_string(),
            "trunk.halve: a layer of the kind `halve`, which the graph does not know"
        );
        assert!(
            matches!(error, Error::UnknownKind { ref path, kind: "halve" } if path == "trunk.halve")
        );
    }
}

#[test]
fn an_operation_outside_any_layer_is_an_error_that_names_who_reads_it() {
    let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
    let (first, second) = (conv(&store, "first"), conv(&store, "second"));
    let add = Add::new(&store.builder(Mode::Eval).pp("block.add"));
    let xs = images([1, 3, 4, 5]);
    let error = Graph::watch(&xs, |xs, cx| {
        let seen = first.forward(xs, cx)?;
        let sum = add.forward(&seen, &halved(&seen)?, cx)?;
        Ok([("sum", second.forward(&sum, cx)?)])
    })
    .unwrap_err();
    assert!(
        matches!(&error, Error::OutsideLayer { path, kind: "add", input: 1 } if path == "block.add"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("block.add (add): its input 1 was computed outside any layer"),
        "{error}"
    );
    // The values are those that a layer gave; only who gave them counts.
    let error = Graph::watch(&xs, |xs, cx| {
        let seen = first.forward(xs, cx)?;
        let copy = FeatureMap::from_nhwc(&seen.to_nhwc().copy()?)?;
        Ok([("copy", copy)])
    })
    .unwrap_err();
    assert!(
        matches!(&error, Error::OutputOutsideLayer { output } if output == "copy"),
        "{error}"
    );
    let error = Graph::watch(&xs, |xs, cx| {
        let seen = first.forward(xs, cx)?;
        Ok([("seen", seen.clone()), ("seen", seen)])
    })
    .unwrap_err();
    assert!(
        matches!(&error, Error::SameOutput { output } if output == "seen"),
        "{error}"
    );
}

#[test]
fn layers_that_were_folded_for_inference_say_so() {
    let store = Store::new(0);
    // Parameters exist before a model is built for inference.
    Everything::build(&store, Mode::Eval);
    let network = Everything::build(&store, Mode::Inference);
    let xs = images([1, 3, 12, 10])
        .to_nhwc()
        .to_dtype(DType::F32)
        .unwrap();
    let xs = FeatureMap::from_nhwc(&xs).unwrap();
    let graph = Graph::watch(&xs, |xs, cx| network.forward(xs, cx)).unwrap();
    // The sum of the residual block is in its last convolution, which reads the shortcut too.
    let last = graph
        .nodes()
        .iter()
        .find(|node| node.path == "block.1.conv");
    let last = last.unwrap();
    assert!(matches!(
        last.kind,
        LayerKind::FusedConv2d { residual: true, .. }
    ));
    assert_eq!(last.inputs.len(), 2);
    let error = graph.run(&store, &xs).unwrap_err();
    assert!(
        matches!(&error, Error::Folded { path, .. } if path == "stem"),
        "{error}"
    );
}

#[test]
fn images_and_stores_that_do_not_fit_are_errors_with_the_path() {
    let store = Store::new(0);
    let root = store.builder(Mode::Eval);
    let pool = MaxPool2d::new(2, 2).at(&root.pp("pool"));
    let flatten = Flatten::new(&root.pp("flatten"));
    let linear = LinearConfig::new(12, 2).build(&root.pp("fc")).unwrap();
    let xs = FeatureMap::from_nchw(&Tensor::ones((1, 3, 4, 4), DType::F32, &Device::Cpu).unwrap());
    let graph = Graph::watch(&xs.unwrap(), |xs, cx| {
        let vectors = flatten.forward(&pool.forward(xs, cx)?, cx)?;
        Ok([("scores", linear.forward(&vectors, cx)?)])
    })
    .unwrap();
    let run = |store: &Store, side| {
        let shape = (1, 3, side, side);
        let ones = Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        graph.run(store, &FeatureMap::from_nchw(&ones).unwrap())
    };
    let path = |error: &Error| match error {
        Error::Compute { path, .. } => path.clone(),
        other => panic!("{other}"),
    };
    assert!(run(&store, 5).is_ok(), "a last odd row is not seen");
    assert_eq!(path(&run(&store, 8).unwrap_err()), "fc");
    assert_eq!(path(&run(&store, 1).unwrap_err()), "pool");
    let error = run(&Store::new(0), 4).unwrap_err();
    assert_eq!(path(&error), "fc");
    assert!(error.to_string().contains("fc.weight"), "{error}");
}

#[test]
fn a_layer_that_works_twice_has_two_nodes_and_counts_its_parameters_once() {
    let store = Store::with_dtype(0, DType::F64, &Device::Cpu);
    let conv = conv(&store, "conv");
    let xs = images([1, 3, 4, 5]);
    let twice = |xs: &FeatureMap, cx: &Context<'_>| {
        Ok([("twice", conv.forward(&conv.forward(xs, cx)?, cx)?)])
    };
    let graph = Graph::watch(&xs, twice).unwrap();
    assert_eq!(graph.nodes().len(), 2);
    assert_eq!(graph.parameter_count().unwrap(), store.parameter_count());
    assert_eq!(graph.multiply_adds().unwrap(), 2 * 9 * 20);
    let [(_, expected)] = twice(&xs, &Context::eval()).unwrap();
    let found = graph.run(&store, &xs).unwrap();
    assert!(apart(&found["twice"], &expected.into()) < 1e-12);
}
