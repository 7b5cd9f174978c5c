//! What SSDLite puts on a backbone: depthwise-separable convolutions in place of SSD's (Sandler et
//! al. 2018, section 6.2).

use candle_core::Result;
use cnn_layers::{
    Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormAct, ConvNormActConfig, Init,
    Padding, Sequential,
};

use super::network::Extra;

/// How all of it starts.
const NEW: Init = Init::Normal { std: 0.03 };

/// Channels of the further maps.
const EXTRA: [usize; 4] = [512, 256, 256, 128];

/// A convolution with norm and ReLU6, at `0` and `1`.
fn unit(conv: Conv2dConfig, channels: usize, at: &Builder) -> Result<ConvNormAct> {
    let norm = BatchNorm2dConfig::new(channels)
        .with_eps(1e-3)
        .with_momentum(0.03);
    ConvNormActConfig::new(conv.with_init(NEW), norm, Activation::Relu6).build(&at.pp(0), &at.pp(1))
}

/// A 3×3 filter of each channel.
fn depthwise(channels: usize, stride: usize, at: &Builder) -> Result<ConvNormAct> {
    let conv = Conv2dConfig::new(channels, channels, 3)
        .with_stride(stride)
        .with_padding(Padding::all(1))
        .with_groups(channels);
    unit(conv, channels, at)
}

/// So many further maps, each half as large, which read one with so many channels.
pub(super) fn extra(mut channels: usize, count: usize, root: &Builder) -> Result<Vec<Extra>> {
    let block = |(number, designed)| -> Result<Extra> {
        let at: Builder = root.pp("extra").pp(number);
        let hidden = at.pp(0).pp(0).width(designed / 2);
        let output = at.pp(2).pp(0).width(designed);
        let mut layers = Sequential::new();
        layers.push(unit(
            Conv2dConfig::new(channels, hidden, 1),
            hidden,
            &at.pp(0),
        )?);
        layers.push(depthwise(hidden, 2, &at.pp(1))?);
        layers.push(unit(
            Conv2dConfig::new(hidden, output, 1),
            output,
            &at.pp(2),
        )?);
        channels = output;
        Ok(Extra {
            layers,
            channels: output,
        })
    };
    EXTRA
        .into_iter()
        .take(count)
        .enumerate()
        .map(block)
        .collect()
}

/// What gives so many numbers of each place of a map.
pub(super) fn predictor(channels: usize, outputs: usize, at: &Builder) -> Result<Sequential> {
    let scores = Conv2dConfig::new(channels, outputs, 1)
        .with_init(NEW)
        .with_bias_init(Init::ZEROS);
    let mut layers = Sequential::new();
    layers.push(depthwise(channels, 1, &at.pp(0))?);
    layers.push(scores.build(&at.pp(1))?);
    Ok(layers)
}
