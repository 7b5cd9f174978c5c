//! Inception modules from tables: what GoogLeNet, Inception-v3 and Inception-v4 share.

use candle_core::Result;
use cnn_layers::{
    Activation, AvgPool2d, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormAct,
    ConvNormActConfig, Inception, Init, MaxPool2d, Padding, Sequential, StagedBuilder, Window,
};

/// A convolution with norm and ReLU, called `name`, with its parameters in `<name>.conv` and
/// `<name>.bn`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conv {
    name: &'static str,
    channels: usize,
    kernel_size: [usize; 2],
    stride: usize,
    padding: [usize; 2],
}

impl Conv {
    /// A square kernel that is padded to keep the size.
    pub(crate) const fn new(name: &'static str, channels: usize, kernel_size: usize) -> Self {
        Self::with_kernel(name, channels, [kernel_size; 2])
    }

    /// A kernel of rows and columns that is padded to keep the size.
    pub(crate) const fn with_kernel(
        name: &'static str,
        channels: usize,
        kernel_size: [usize; 2],
    ) -> Self {
        Self {
            name,
            channels,
            kernel_size,
            stride: 1,
            padding: [kernel_size[0] / 2, kernel_size[1] / 2],
        }
    }

    /// The same with another stride and padding along both axes.
    pub(crate) const fn with_stride(self, stride: usize, padding: usize) -> Self {
        Self {
            stride,
            padding: [padding; 2],
            ..self
        }
    }

    /// The same without padding.
    pub(crate) const fn valid(self, stride: usize) -> Self {
        self.with_stride(stride, 0)
    }
}

/// A pooling over 3×3 pixels; with stride 1 it is padded to keep the size, with stride 2 it is not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pool {
    /// The maximum.
    Max { name: &'static str, stride: usize },
    /// The mean, of nine pixels or of those within the map.
    Mean {
        name: &'static str,
        count_include_pad: bool,
    },
}

/// A branch of a module: a pooling or none, convolutions one after another, and at its end one or more
/// side by side.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pool: Option<Pool>,
    convs: Vec<Conv>,
    ends: Vec<Conv>,
}

impl Branch {
    /// Convolutions one after another.
    pub(crate) fn of(convs: impl IntoIterator<Item = Conv>) -> Self {
        let mut convs: Vec<Conv> = convs.into_iter().collect();
        let ends = convs.pop().into_iter().collect();
        Self {
            pool: None,
            convs,
            ends,
        }
    }

    /// A pooling alone.
    pub(crate) fn pooling(pool: Pool) -> Self {
        Self::of([]).after(pool)
    }

    /// The same with a pooling before the convolutions.
    pub(crate) fn after(self, pool: Pool) -> Self {
        Self {
            pool: Some(pool),
            ..self
        }
    }

    /// The same with two more convolutions at its end, side by side.
    pub(crate) fn forked(mut self, ends: [Conv; 2]) -> Self {
        self.convs.append(&mut self.ends);
        self.ends = ends.to_vec();
        self
    }
}

/// How the convolutions of a network are built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units {
    eps: f64,
    init: Init,
}

impl Units {
    /// With the norms' eps and the initialisation of the weights.
    pub(crate) const fn new(eps: f64, init: Init) -> Self {
        Self { eps, init }
    }

    /// The unit called by its name below `at`, and the channels that it gives.
    pub(crate) fn build(
        &self,
        conv: &Conv,
        in_channels: usize,
        at: &Builder,
    ) -> Result<(ConvNormAct, usize)> {
        self.build_at(conv, in_channels, &at.pp(conv.name))
    }

    fn build_at(
        &self,
        conv: &Conv,
        in_channels: usize,
        at: &Builder,
    ) -> Result<(ConvNormAct, usize)> {
        let at_conv = at.pp("conv");
        let channels = at_conv.width(conv.channels);
        let [rows, columns] = conv.kernel_size;
        let config = Conv2dConfig::new(in_channels, channels, rows)
            .with_kernel_size(rows, columns)
            .with_stride(conv.stride)
            .with_padding(Padding::symmetric(conv.padding[0], conv.padding[1]))
            .with_init(self.init);
        let norm = BatchNorm2dConfig::new(channels).with_eps(self.eps);
        let unit = ConvNormActConfig::new(config, norm, Activation::Relu);
        Ok((unit.build(&at_conv, &at.pp("bn"))?, channels))
    }

    /// Adds a unit to a network.
    pub(crate) fn add(&self, net: &mut StagedBuilder, conv: &Conv) -> Result<()> {
        let (unit, channels) = self.build_at(conv, net.channels(), &net.at(conv.name))?;
        net.add(unit).set_channels(channels).add_stride(conv.stride);
        Ok(())
    }

    /// Adds the module `name` to a network; all its branches move by the same stride.
    pub(crate) fn add_module(
        &self,
        net: &mut StagedBuilder,
        name: &str,
        branches: &[Branch],
    ) -> Result<()> {
        let at = net.at(name);
        let mut module = Inception::new(&at);
        let mut out_channels = 0;
        let mut stride = 1;
        for branch in branches {
            let mut channels = net.channels();
            let mut layers = Sequential::new();
            stride = 1;
            match branch.pool {
                Some(Pool::Max { name, stride: step }) => {
                    let padding = Padding::all(if step == 1 { 1 } else { 0 });
                    layers.push(
                        MaxPool2d::new(3, step)
                            .with_padding(padding)
                            .at(&at.pp(name)),
                    );
                    stride = step;
                }
                Some(Pool::Mean {
                    name,
                    count_include_pad,
                }) => {
                    let window = Window {
                        padding: Padding::all(1),
                        ..Window::new([3, 3])
                    };
                    layers.push(AvgPool2d::with_window(window, count_include_pad).at(&at.pp(name)));
                }
                None => {}
            }
            for conv in &branch.convs {
                let (unit, width) = self.build(conv, channels, &at)?;
                layers.push(unit);
                channels = width;
                stride *= conv.stride;
            }
            let mut ends = Vec::with_capacity(branch.ends.len());
            for conv in &branch.ends {
                let (unit, width) = self.build(conv, channels, &at)?;
                ends.push(unit);
                out_channels += width;
            }
            match branch.ends.first() {
                Some(end) => stride *= end.stride,
                None => out_channels += channels,
            }
            module = module.with_branch(layers, ends);
        }
        net.add(module)
            .set_channels(out_channels)
            .add_stride(stride);
        Ok(())
    }
}
