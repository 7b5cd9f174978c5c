//! The body of SSD300: VGG-16 up to its fifth row of convolutions, with its first two linear layers
//! as convolutions, and four further halvings.

use candle_core::Result;
use cnn_layers::{
    Activate, Activation, Builder, Conv2dConfig, ConvAct, Init, MaxPool2d, Padding, Sequential,
    StagedBackbone, StagedBuilder,
};

use super::network::Extra;

/// How many 3×3 convolutions there are before each pooling, and their channels.
const ROWS: [(usize, usize); 4] = [(2, 64), (2, 128), (3, 256), (3, 512)];

/// Channels of the convolutions that were VGG's linear layers.
const FULLY_CONNECTED: usize = 1024;

/// Behind them: hidden channels, channels, stride and padding of the second convolution.
const EXTRA: [(usize, usize, usize, usize); 4] = [
    (256, 512, 2, 1),
    (128, 256, 2, 1),
    (128, 256, 1, 0),
    (128, 256, 1, 0),
];

/// How what VGG does not have starts.
pub(super) const NEW: Init = Init::XavierUniform { gain: 1. };

/// The maps before the fourth pooling and at a sixteenth of the image's size.
pub(super) fn body(in_channels: usize, root: &Builder) -> Result<StagedBackbone> {
    let mut net = StagedBuilder::new(root, in_channels);
    let features = net.at("features");
    let mut index = 0;
    for (row, (depth, width)) in ROWS.into_iter().enumerate() {
        if row > 0 {
            let pool = MaxPool2d::new(2, 2).at(&features.pp(index));
            // At 300 pixels the third gives 38, as in the paper.
            let pool = if row == 3 {
                pool.with_ceil_mode()
            } else {
                pool
            };
            net.add(pool).add_stride(2);
            index += 1;
        }
        let first = index;
        for _ in 0..depth {
            add_conv(&mut net, &features, index, width)?;
            index += 2;
        }
        let modules: Vec<String> = (first..index).map(|at| format!("features.{at}")).collect();
        let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
        net.group(&format!("stage{}", row + 1), &modules);
    }
    net.end_stage("features");

    let deep = net.at("extra").pp(0);
    net.add(MaxPool2d::new(2, 2).at(&deep.pp(0))).add_stride(2);
    for index in [1, 3, 5] {
        add_conv(&mut net, &deep, index, 512)?;
    }
    net.group("stage5", &["extra.0.1", "extra.0.3", "extra.0.5"]);
    let at = deep.pp(7);
    let pool = MaxPool2d::new(3, 1).with_padding(Padding::all(1));
    net.add(pool.at(&at.pp(0)));
    let six = at.pp(1).width(FULLY_CONNECTED);
    let seven = at.pp(3).width(FULLY_CONNECTED);
    let conv = Conv2dConfig::new(net.channels(), six, 3)
        .with_padding(Padding::all(6))
        .with_dilation(6);
    net.add(unit(conv, NEW, &at, 1)?);
    net.add(unit(Conv2dConfig::new(six, seven, 1), NEW, &at, 3)?)
        .set_channels(seven);
    net.group("stage6", &["extra.0.7"]);
    net.end_stage("extra.0");
    Ok(net.backbone())
}

/// A 3×3 convolution of VGG's with its ReLU.
fn add_conv(net: &mut StagedBuilder, at: &Builder, index: usize, width: usize) -> Result<()> {
    let channels = at.pp(index).width(width);
    let conv = Conv2dConfig::new(net.channels(), channels, 3).with_padding(Padding::all(1));
    net.add(unit(conv, Init::KAIMING_NORMAL_OUT, at, index)?)
        .set_channels(channels);
    Ok(())
}

/// A convolution at this index and the ReLU at the next.
fn unit(conv: Conv2dConfig, init: Init, at: &Builder, index: usize) -> Result<ConvAct> {
    let conv = conv.with_init(init).with_bias_init(Init::ZEROS);
    let relu = Activate::new(Activation::Relu, &at.pp(index + 1));
    ConvAct::build(&conv, relu, &at.pp(index))
}

/// The further maps, which read one with so many channels.
pub(super) fn extra(mut channels: usize, root: &Builder) -> Result<Vec<Extra>> {
    let block = |(number, (hidden, output, stride, padding))| -> Result<Extra> {
        let at: Builder = root.pp("extra").pp(number);
        let hidden = at.pp(0).width(hidden);
        let output = at.pp(2).width(output);
        let reduce = Conv2dConfig::new(channels, hidden, 1);
        let filter = Conv2dConfig::new(hidden, output, 3)
            .with_stride(stride)
            .with_padding(Padding::all(padding));
        let mut layers = Sequential::new();
        layers.push(unit(reduce, NEW, &at, 0)?);
        layers.push(unit(filter, NEW, &at, 2)?);
        channels = output;
        Ok(Extra {
            layers,
            channels: output,
        })
    };
    (1..).zip(EXTRA).map(block).collect()
}
