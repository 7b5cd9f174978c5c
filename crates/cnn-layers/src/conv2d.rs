//! 2-D convolution.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use cnn_kernels::{Conv2dSpec, JoinedMap, PackedConv2d, conv2d};

use crate::store::Snapshot;
use crate::{
    Activation, Builder, Context, Error, FeatureMap, Init, Layer, LayerKind, Mode, Padding, Value,
    Window,
};

/// What a [`Conv2d`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv2dConfig {
    in_channels: usize,
    out_channels: usize,
    kernel_size: [usize; 2],
    spec: Conv2dSpec,
    bias: bool,
    init: Init,
    bias_init: Option<Init>,
    linear_weight: bool,
}

impl Conv2dConfig {
    /// A square kernel with stride 1, no padding, one group and a bias, initialised as PyTorch
    /// does.
    pub const fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        let spec = Conv2dSpec {
            stride: [1, 1],
            padding: Padding::Valid,
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
            linear_weight: false,
        }
    }

    /// A kernel of `rows` and `columns`.
    pub const fn with_kernel_size(mut self, rows: usize, columns: usize) -> Self {
        self.kernel_size = [rows, columns];
        self
    }

    /// The same stride along both axes.
    pub const fn with_stride(self, stride: usize) -> Self {
        self.with_strides(stride, stride)
    }

    /// Strides along the rows and the columns.
    pub const fn with_strides(mut self, rows: usize, columns: usize) -> Self {
        self.spec.stride = [rows, columns];
        self
    }

    /// Zeros around the input.
    pub const fn with_padding(mut self, padding: Padding) -> Self {
        self.spec.padding = padding;
        self
    }

    /// The same distance between taps along both axes.
    pub const fn with_dilation(mut self, dilation: usize) -> Self {
        self.spec.dilation = [dilation, dilation];
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

    /// A bias, which a new configuration has.
    pub(crate) const fn with_bias(mut self) -> Self {
        self.bias = true;
        self
    }

    /// Another initialisation of the weight.
    pub const fn with_init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Another initialisation of the bias than PyTorch's, uniform in `±1/√fan_in`.
    pub const fn with_bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }

    /// The weight of a linear layer, `(out, in)`, as networks have it that apply one to each pixel:
    /// for 1×1 kernels that move by one pixel, in one group.
    pub const fn with_linear_weight(mut self) -> Self {
        self.linear_weight = true;
        self
    }

    /// Whether a constant in each channel of the input is one in the output, so that the offsets of
    /// a layer before this one can become part of the bias: nothing is padded, and the channels are
    /// one group.
    pub(crate) fn passes_constants(&self) -> bool {
        let is_unpadded = match self.spec.padding {
            Padding::Valid => true,
            Padding::Same => self.kernel_size == [1, 1],
            Padding::Explicit {
                top,
                bottom,
                left,
                right,
            } => [top, bottom, left, right] == [0; 4],
        };
        is_unpadded && self.spec.groups == 1
    }

    /// Takes `weight` `(out, in / groups, rows, columns)`, or `(out, in)` of a linear layer, and
    /// `bias` `(out)` from the builder's place.
    ///
    /// # Errors
    /// If a number is zero, the groups do not divide the channels, or the weight of a linear layer
    /// is asked for where it cannot be.
    pub fn build(&self, builder: &Builder) -> Result<Conv2d> {
        let mut conv = self.build_unpacked(builder)?;
        if builder.mode() == Mode::Inference {
            conv.pack(
                &conv.weight.clone(),
                conv.bias.clone().as_ref(),
                builder.snapshot(),
            )?;
        }
        Ok(conv)
    }

    /// The same, whatever the mode; the caller packs it.
    pub(crate) fn build_unpacked(&self, builder: &Builder) -> Result<Conv2d> {
        self.check(builder.path())?;
        let [rows, columns] = self.kernel_size;
        let group_in = self.in_channels / self.spec.groups;
        let init = self.init.with_groups(self.spec.groups);
        let shape = [self.out_channels, group_in, rows, columns];
        let rank = if self.linear_weight { 2 } else { 4 };
        let weight = builder.param("weight", &shape[..rank], init)?;
        let bound = 1. / ((group_in * rows * columns) as f64).sqrt();
        let bias_init = self.bias_init.unwrap_or(Init::Uniform { bound });
        let bias = self
            .bias
            .then(|| builder.param("bias", &[self.out_channels], bias_init))
            .transpose()?;
        Ok(Conv2d {
            path: builder.path().to_string(),
            spec: self.spec,
            weight,
            bias,
            packed: None,
        })
    }

    fn check(&self, path: &str) -> Result<()> {
        let [rows, columns] = self.kernel_size;
        let config = |what, found: usize, expected: String| {
            Err(Error::Config {
                layer: path.to_string(),
                what,
                found: found.to_string(),
                expected,
            }
            .into())
        };
        let numbers = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("kernel rows", rows),
            ("kernel columns", columns),
            ("stride", self.spec.stride[0].min(self.spec.stride[1])),
            ("dilation", self.spec.dilation[0].min(self.spec.dilation[1])),
            ("groups", self.spec.groups),
        ];
        for (what, value) in numbers {
            if value == 0 {
                return config(what, value, "at least 1".to_string());
            }
        }
        let groups = self.spec.groups;
        let channels = [self.in_channels, self.out_channels];
        if channels
            .iter()
            .any(|channels| !channels.is_multiple_of(groups))
        {
            let expected = format!(
                "a divisor of {} in_channels and {} out_channels",
                channels[0], channels[1]
            );
            return config("groups", groups, expected);
        }
        let moves_by_pixels = self.spec.stride == [1, 1] && self.passes_constants();
        if self.linear_weight && !(moves_by_pixels && self.kernel_size == [1, 1]) {
            return Err(Error::Config {
                layer: path.to_string(),
                what: "the kernel of a linear layer",
                found: format!("{rows}×{columns}"),
                expected: "1×1, with stride 1, without padding, in one group".to_string(),
            }
            .into());
        }
        Ok(())
    }
}

/// `ys[o] = bias[o] + Σ weight[o, c] ⋆ xs[c]`; see [`cnn_kernels::conv2d`] for the equation.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, H', W', out_channels)`.
#[derive(Debug, Clone)]
pub struct Conv2d {
    path: String,
    spec: Conv2dSpec,
    weight: Tensor,
    bias: Option<Tensor>,
    /// In [`Mode::Inference`].
    packed: Option<Packed>,
}

/// Weights that were laid out for inference.
#[derive(Debug, Clone)]
struct Packed {
    weights: Arc<PackedConv2d>,
    snapshot: Snapshot,
}

impl Conv2d {
    /// The weight, `(out, in / groups, rows, columns)`; `(out, in)` of a linear layer.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// The bias, `(out)`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.weight.dims()[0]
    }

    /// The same under another path, by which errors and observers call it.
    pub(crate) fn at(mut self, builder: &Builder) -> Self {
        self.path = builder.path().to_string();
        self
    }

    /// What slides over the input.
    fn window(&self) -> Window {
        let kernel_size = match *self.weight.dims() {
            [_, _, rows, columns] => [rows, columns],
            _ => [1, 1],
        };
        Window {
            stride: self.spec.stride,
            padding: self.spec.padding,
            dilation: self.spec.dilation,
            ..Window::new(kernel_size)
        }
    }

    fn kind(&self) -> LayerKind {
        let bias = self.bias.is_some();
        if self.weight.rank() == 2 {
            return LayerKind::Linear { bias };
        }
        LayerKind::Conv2d {
            window: self.window(),
            groups: self.spec.groups,
            bias,
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
            weights: Arc::new(PackedConv2d::new(weight, bias, &self.spec)?),
            snapshot,
        });
        Ok(())
    }

    /// Its weights laid out, if the layer was built for inference.
    ///
    /// # Errors
    /// If the store has changed since.
    pub(crate) fn packed(&self) -> Result<Option<&PackedConv2d>> {
        let Some(packed) = &self.packed else {
            return Ok(None);
        };
        packed.snapshot.check(&self.path)?;
        Ok(Some(&packed.weights))
    }

    /// `activation(conv(xs) + residual)` in one pass, if the layer was built for inference; the
    /// convolution may have taken in a norm.
    pub(crate) fn forward_packed(
        &self,
        xs: &FeatureMap,
        residual: Option<&FeatureMap>,
        activation: Activation,
        cx: &Context<'_>,
    ) -> Option<Result<FeatureMap>> {
        let packed = match self.packed() {
            Ok(packed) => packed?,
            Err(stale) => return Some(Err(stale)),
        };
        let kind = LayerKind::FusedConv2d {
            window: self.window(),
            groups: self.spec.groups,
            activation,
            residual: residual.is_some(),
        };
        let inputs: Vec<Value<'_>> = [xs].into_iter().chain(residual).map(Into::into).collect();
        let compute = || packed.forward(xs, residual, activation);
        Some(cx.layer(&self.path, kind, &inputs, compute))
    }

    /// `activation(conv(concat(maps)))` as [`PackedConv2d::forward_joined`] computes it; `None` unless
    /// the layer was built for inference.
    pub(crate) fn forward_joined(
        &self,
        maps: &[JoinedMap<'_>],
        activation: Activation,
    ) -> Option<Result<FeatureMap>> {
        let packed = match self.packed() {
            Ok(packed) => packed?,
            Err(stale) => return Some(Err(stale)),
        };
        let compute = || packed.forward_joined(maps, activation);
        Some(cnn_kernels::labelled(&self.path, compute))
    }

    /// `after[1](depthwise(after[0](self(xs))))` as [`PackedConv2d::forward_expanded`] computes it,
    /// under the second layer's label; `None` where it does not.
    pub(crate) fn forward_expanded(
        &self,
        depthwise: &Self,
        xs: &FeatureMap,
        after: [Activation; 2],
    ) -> Option<Result<FeatureMap>> {
        let (first, second) = match (self.packed(), depthwise.packed()) {
            (Err(stale), _) | (_, Err(stale)) => return Some(Err(stale)),
            (Ok(first), Ok(second)) => (first?, second?),
        };
        // An input that does not fit is an error of the first layer, which finds it again alone.
        let compute = || first.forward_expanded(second, xs, after).ok().flatten();
        cnn_kernels::labelled(&depthwise.path, compute).map(Ok)
    }
}

impl Layer for Conv2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let packed = self.packed()?;
        cx.layer(&self.path, self.kind(), &[xs.into()], || match packed {
            Some(packed) => packed.forward(xs, None, Activation::Identity),
            None => conv2d(xs, &self.weight, self.bias.as_ref(), &self.spec),
        })
    }
}
