//! Transposed 2-D convolution.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use cnn_kernels::{ConvTranspose2dSpec, PackedConvTranspose2d, conv_transpose2d};

use crate::store::Snapshot;
use crate::{
    Activation, Builder, Context, Error, FeatureMap, Init, Layer, LayerKind, Mode, Padding, Window,
};

/// What a [`ConvTranspose2d`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvTranspose2dConfig {
    in_channels: usize,
    out_channels: usize,
    kernel_size: [usize; 2],
    spec: ConvTranspose2dSpec,
    bias: bool,
    init: Init,
    bias_init: Option<Init>,
}

impl ConvTranspose2dConfig {
    /// A square kernel with stride 1, no padding, one group and a bias, initialised as PyTorch
    /// does.
    pub const fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        let spec = ConvTranspose2dSpec {
            stride: [1, 1],
            padding: [0, 0],
            output_padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        };
        Self {
            in_channels,
            out_channels,
            kernel_size: [kernel_size; 2],
            spec,
            bias: true,
            init: Init::PYTORCH_DEFAULT,
            bias_init: None,
        }
    }

    /// A kernel of `rows` and `columns`.
    pub const fn with_kernel_size(mut self, rows: usize, columns: usize) -> Self {
        self.kernel_size = [rows, columns];
        self
    }

    /// The same stride along both axes: the output is so many times as large.
    pub const fn with_stride(self, stride: usize) -> Self {
        self.with_strides(stride, stride)
    }

    /// Strides along the rows and the columns.
    pub const fn with_strides(mut self, rows: usize, columns: usize) -> Self {
        self.spec.stride = [rows, columns];
        self
    }

    /// Rows and columns left out of the output on all sides.
    pub const fn with_padding(mut self, padding: usize) -> Self {
        self.spec.padding = [padding; 2];
        self
    }

    /// Rows and columns that the output has beyond the least, fewer than the stride.
    pub const fn with_output_padding(mut self, output_padding: usize) -> Self {
        self.spec.output_padding = [output_padding; 2];
        self
    }

    /// The same distance between taps along both axes.
    pub const fn with_dilation(mut self, dilation: usize) -> Self {
        self.spec.dilation = [dilation; 2];
        self
    }

    /// Groups of channels that do not see each other.
    pub const fn with_groups(mut self, groups: usize) -> Self {
        self.spec.groups = groups;
        self
    }

    /// No bias, as before a normalisation.
    pub const fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Another initialisation of the weight. Its fans are counted as PyTorch does: the shape of the
    /// weight begins with the inputs, so that what it calls the fan of inputs is
    /// `out_channels / groups · rows · columns`.
    pub const fn with_init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Another initialisation of the bias than PyTorch's, uniform in `±1/√fan_in`.
    pub const fn with_bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }

    /// Whether every output sees every input channel.
    pub(crate) const fn is_one_group(&self) -> bool {
        self.spec.groups == 1
    }

    /// Takes `weight` `(in, out / groups, rows, columns)` and `bias` `(out)` from the builder's
    /// place.
    ///
    /// # Errors
    /// If a number is zero, the groups do not divide the channels, or the output's padding is not
    /// less than the stride.
    pub fn build(&self, builder: &Builder) -> Result<ConvTranspose2d> {
        let mut conv = self.build_unpacked(builder)?;
        if builder.mode() == Mode::Inference {
            let weight = conv.weight.clone();
            let bias = conv.bias.clone();
            conv.pack(&weight, bias.as_ref(), builder.snapshot())?;
        }
        Ok(conv)
    }

    /// The same, whatever the mode; the caller packs it.
    pub(crate) fn build_unpacked(&self, builder: &Builder) -> Result<ConvTranspose2d> {
        self.check(builder.path())?;
        let [rows, columns] = self.kernel_size;
        let group_out = self.out_channels / self.spec.groups;
        let init = self.init.with_groups(self.spec.groups);
        let weight = builder.param(
            "weight",
            &[self.in_channels, group_out, rows, columns],
            init,
        )?;
        let bound = 1. / ((group_out * rows * columns) as f64).sqrt();
        let bias_init = self.bias_init.unwrap_or(Init::Uniform { bound });
        let bias = self
            .bias
            .then(|| builder.param("bias", &[self.out_channels], bias_init))
            .transpose()?;
        Ok(ConvTranspose2d {
            path: builder.path().to_string(),
            spec: self.spec,
            weight,
            bias,
            packed: None,
        })
    }

    fn check(&self, path: &str) -> Result<()> {
        let config = |what, found: usize, expected: String| Error::Config {
            layer: path.to_string(),
            what,
            found: found.to_string(),
            expected,
        };
        let least = |pair: [usize; 2]| pair[0].min(pair[1]);
        let numbers = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("kernel size", least(self.kernel_size)),
            ("stride", least(self.spec.stride)),
            ("dilation", least(self.spec.dilation)),
            ("groups", self.spec.groups),
        ];
        for (what, value) in numbers {
            if value == 0 {
                return Err(config(what, value, "at least 1".to_string()).into());
            }
        }
        let groups = self.spec.groups;
        let channels = [self.in_channels, self.out_channels];
        let divide = |channels: &usize| channels.is_multiple_of(groups);
        if !channels.iter().all(divide) {
            let [inputs, outputs] = channels;
            let expected = format!("a divisor of {inputs} in_channels and {outputs} out_channels");
            return Err(config("groups", groups, expected).into());
        }
        for (output_padding, stride) in self.spec.output_padding.iter().zip(self.spec.stride) {
            if *output_padding >= stride {
                let expected = format!("less than the stride {stride}");
                return Err(config("output_padding", *output_padding, expected).into());
            }
        }
        Ok(())
    }
}

/// The transpose of a convolution, which makes maps larger; see [`cnn_kernels::conv_transpose2d`]
/// for the equation.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, H', W', out_channels)` with
/// `H' = (H − 1)·stride − 2·padding + dilation·(rows − 1) + output_padding + 1`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{Context, ConvTranspose2dConfig, FeatureMap, Layer, Mode, Store};
///
/// let store = Store::new(0);
/// let up = ConvTranspose2dConfig::new(6, 3, 2)
///     .with_stride(2)
///     .build(&store.builder(Mode::Eval).pp("up"))?;
/// let xs = Tensor::zeros((1, 5, 7, 6), DType::F32, &Device::Cpu)?;
/// let ys = up.forward(&FeatureMap::from_nhwc(&xs)?, &Context::eval())?;
/// assert_eq!(ys.dims(), [1, 10, 14, 3]);
/// assert_eq!(store.get("up.weight")?.dims(), [6, 3, 2, 2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConvTranspose2d {
    path: String,
    spec: ConvTranspose2dSpec,
    weight: Tensor,
    bias: Option<Tensor>,
    /// In [`Mode::Inference`].
    packed: Option<Packed>,
}

/// Weights that were laid out for inference.
#[derive(Debug, Clone)]
struct Packed {
    weights: Arc<PackedConvTranspose2d>,
    snapshot: Snapshot,
}

impl ConvTranspose2d {
    /// The weight, `(in, out / groups, rows, columns)`.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, `(out)`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// What slides over the output.
    fn window(&self) -> Window {
        let kernel_size = match *self.weight.dims() {
            [_, _, rows, columns] => [rows, columns],
            _ => [1, 1],
        };
        let [rows, columns] = self.spec.padding;
        Window {
            stride: self.spec.stride,
            padding: Padding::symmetric(rows, columns),
            dilation: self.spec.dilation,
            ..Window::new(kernel_size)
        }
    }

    /// Lays out weights for inference: its own, or those into which a norm is folded.
    pub(crate) fn pack(
        &mut self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        snapshot: Snapshot,
    ) -> Result<()> {
        self.packed = Some(Packed {
            weights: Arc::new(PackedConvTranspose2d::new(weight, bias, &self.spec)?),
            snapshot,
        });
        Ok(())
    }

    /// Its weights laid out, if the layer was built for inference.
    fn packed(&self) -> Result<Option<&PackedConvTranspose2d>> {
        let Some(packed) = &self.packed else {
            return Ok(None);
        };
        packed.snapshot.check(&self.path)?;
        Ok(Some(&packed.weights))
    }

    /// `activation(conv(xs))` in one pass, if the layer was built for inference; the convolution may
    /// have taken in a norm.
    pub(crate) fn forward_packed(
        &self,
        xs: &FeatureMap,
        activation: Activation,
        cx: &Context<'_>,
    ) -> Option<Result<FeatureMap>> {
        let packed = match self.packed() {
            Ok(packed) => packed?,
            Err(stale) => return Some(Err(stale)),
        };
        let kind = LayerKind::FusedConvTranspose2d {
            window: self.window(),
            output_padding: self.spec.output_padding,
            groups: self.spec.groups,
            activation,
        };
        let compute = || packed.forward(xs, activation);
        Some(cx.layer(&self.path, kind, &[xs.into()], compute))
    }
}

impl Layer for ConvTranspose2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let packed = self.packed()?;
        let kind = LayerKind::ConvTranspose2d {
            window: self.window(),
            output_padding: self.spec.output_padding,
            groups: self.spec.groups,
            bias: self.bias.is_some(),
        };
        cx.layer(&self.path, kind, &[xs.into()], || match packed {
            Some(packed) => packed.forward(xs, Activation::Identity),
            None => conv_transpose2d(xs, &self.weight, self.bias.as_ref(), &self.spec),
        })
    }
}
