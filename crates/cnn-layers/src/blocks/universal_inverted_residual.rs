//! The universal inverted bottleneck of MobileNetV4 (Qin et al. 2024).

use candle_core::Result;

use crate::{Activation, BlockOptions, Builder, MobileBlock, Padding};

/// Widens and narrows with 1×1 convolutions, with an optional depthwise one before the expansion and
/// another after it; the input is added where stride and channels allow it.
///
/// | before | after | the block |
/// |---|---|---|
/// | – | – | a feed-forward block |
/// | – | yes | an [`InvertedResidual`](crate::InvertedResidualConfig) |
/// | yes | – | as ConvNeXt's: filters while the map is narrow |
/// | yes | yes | "extra depthwise": filters twice, for depth and receptive field at little cost |
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, ⌈H / stride⌉, ⌈W / stride⌉, out_channels)` for kernels that are
/// padded by half.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UniversalInvertedResidualConfig {
    in_channels: usize,
    hidden_channels: usize,
    out_channels: usize,
    stride: usize,
    start: Option<Kernel>,
    middle: Option<Kernel>,
    options: BlockOptions,
    activation: Activation,
    /// The channels that it reads, where the plan of widths changed those of the layers before it.
    input: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Kernel {
    size: usize,
    padding: Padding,
}

impl UniversalInvertedResidualConfig {
    /// A feed-forward block: two 1×1 convolutions, ReLU between, without a depthwise one.
    pub const fn new(
        in_channels: usize,
        hidden_channels: usize,
        out_channels: usize,
        stride: usize,
    ) -> Self {
        Self {
            in_channels,
            hidden_channels,
            out_channels,
            stride,
            start: None,
            middle: None,
            options: BlockOptions::new(),
            activation: Activation::Relu,
            input: None,
        }
    }

    /// A depthwise convolution of that kernel over the block's input, without an activation.
    pub const fn with_start(mut self, size: usize, padding: Padding) -> Self {
        self.start = Some(Kernel { size, padding });
        self
    }

    /// A depthwise convolution of that kernel over the hidden channels.
    pub const fn with_middle(mut self, size: usize, padding: Padding) -> Self {
        self.middle = Some(Kernel { size, padding });
        self
    }

    /// Another activation.
    pub const fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Other norm, squeeze-and-excitation or stochastic depth; the kernels are not theirs.
    pub const fn with_options(mut self, options: BlockOptions) -> Self {
        self.options = options;
        self
    }

    /// Reads that many channels, where a plan of widths ([`Builder::with_widths`]) changed those of
    /// the layers before. Whether the block is residual depends on the numbers of `new`.
    pub const fn with_input(mut self, channels: usize) -> Self {
        self.input = Some(channels);
        self
    }

    /// Takes `dw_start`, `pw_exp`, `dw_mid`, `se`, `pw_proj` from the builder's place; each
    /// convolution is called `conv`, its norm `bn`.
    ///
    /// # Errors
    /// If a stride above 1 has no depthwise convolution to go to, and those of the layers.
    pub fn build(&self, builder: &Builder) -> Result<MobileBlock> {
        let strided = self.middle.or(self.start).is_some();
        if self.stride > 1 && !strided {
            return Err(crate::Error::Config {
                layer: builder.path().to_string(),
                what: "the stride of a block without a depthwise convolution",
                found: self.stride.to_string(),
                expected: "1".to_string(),
            }
            .into());
        }
        let input = self.input.unwrap_or(self.in_channels);
        let residual = self.stride == 1 && self.in_channels == self.out_channels;
        let at = |name: &str, part: &str| builder.pp(name).pp(part);
        let hidden = at("pw_exp", "conv").width(self.hidden_channels);
        let output = at("pw_proj", "conv").width(self.out_channels);
        // The stride is that of the middle one where there is one.
        let start_stride = if self.middle.is_some() {
            1
        } else {
            self.stride
        };
        let depthwise = |kernel: Kernel, channels, stride, activation| {
            let options = self.options.with_kernel(kernel.size, kernel.padding);
            options.depthwise(channels, stride, activation)
        };
        let start = self
            .start
            .map(|kernel| depthwise(kernel, input, start_stride, Activation::Identity));
        let expand = self.options.pointwise(input, hidden, self.activation);
        let middle = self
            .middle
            .map(|kernel| depthwise(kernel, hidden, self.stride, self.activation));
        let chain = [
            ("dw_start", start),
            ("pw_exp", Some(expand)),
            ("dw_mid", middle),
        ];
        let units = chain
            .into_iter()
            .filter_map(|(name, unit)| Some(unit?.build(&at(name, "conv"), &at(name, "bn"))))
            .collect::<Result<_>>()?;
        let project = self.options.pointwise(hidden, output, Activation::Identity);
        Ok(MobileBlock {
            out_channels: output,
            units,
            squeeze_excite: self.options.build_squeeze_excite(builder)?,
            project: project.build(&at("pw_proj", "conv"), &at("pw_proj", "bn"))?,
            sum: residual
                .then(|| self.options.build_sum(input, output, builder))
                .transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Context, FeatureMap, Layer, Mode, Store};

    #[test]
    fn a_stride_goes_to_the_middle_else_to_the_start_else_nowhere() {
        let plain = UniversalInvertedResidualConfig::new(4, 8, 6, 2);
        let images = candle_core::Tensor::zeros(
            (1, 4, 9, 12),
            candle_core::DType::F32,
            &candle_core::Device::Cpu,
        );
        let images = FeatureMap::from_nchw(&images.unwrap()).unwrap();
        for (config, names) in [
            (
                plain.with_middle(3, Padding::all(1)),
                vec!["dw_mid", "pw_exp", "pw_proj"],
            ),
            (
                plain.with_start(5, Padding::all(2)),
                vec!["dw_start", "pw_exp", "pw_proj"],
            ),
            (
                plain
                    .with_start(3, Padding::all(1))
                    .with_middle(5, Padding::all(2)),
                vec!["dw_mid", "dw_start", "pw_exp", "pw_proj"],
            ),
        ] {
            let store = Store::new(0);
            let block = config.build(&store.builder(Mode::Eval)).unwrap();
            let ys = block.forward(&images, &Context::eval()).unwrap();
            assert_eq!([ys.height(), ys.width(), ys.channels()], [5, 6, 6]);
            let mut found: Vec<String> = store.names();
            found.retain(|name| name.ends_with("conv.weight"));
            found.sort();
            let expected: Vec<String> = names
                .iter()
                .map(|name| format!("{name}.conv.weight"))
                .collect();
            assert_eq!(found, expected);
        }
        let error = plain.build(&Store::new(0).builder(Mode::Eval)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("without a depthwise convolution"),
            "{error}"
        );
    }
}
