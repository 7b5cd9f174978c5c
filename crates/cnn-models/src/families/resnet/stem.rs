//! What ResNets begin with.

use cnn_layers::{Activation, BatchNorm2dConfig, ConvNormActConfig, StagedBuilder};

use super::conv;
use crate::Error;

#[derive(Clone, Copy)]
pub(super) enum Stem {
    /// A 7×7 convolution with 64 channels.
    Plain,
    /// Three 3×3 convolutions, of which the last has twice the channels (He et al. 2018).
    Deep(usize),
}

impl Stem {
    /// Channels of its output.
    pub(super) fn channels(self) -> usize {
        match self {
            Self::Plain => 64,
            Self::Deep(channels) => 2 * channels,
        }
    }

    /// Adds it to the network; its norms add `bn_eps` to the variance.
    pub(super) fn build(self, bn_eps: f64, net: &mut StagedBuilder) -> Result<(), Error> {
        // Kernel, channels by the table, stride, and the places of convolution and norm.
        let convolutions = match self {
            Self::Plain => vec![(7, self.channels(), 2, "conv1", "bn1")],
            Self::Deep(channels) => vec![
                (3, channels, 2, "conv1.0", "conv1.1"),
                (3, channels, 1, "conv1.3", "conv1.4"),
                (3, self.channels(), 1, "conv1.6", "bn1"),
            ],
        };
        for (kernel_size, of_table, stride, at_conv, at_norm) in convolutions {
            let width = net.at(at_conv).width(of_table);
            let unit = ConvNormActConfig::new(
                conv(net.channels(), width, kernel_size, stride),
                BatchNorm2dConfig::new(width).with_eps(bn_eps),
                Activation::Relu,
            );
            let unit = unit.build(&net.at(at_conv), &net.at(at_norm))?;
            net.add(unit).set_channels(width).add_stride(stride);
        }
        Ok(())
    }
}
