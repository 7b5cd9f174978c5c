//! Convolution, batch normalisation and activation: the unit that most networks repeat.

use candle_core::{DType, Result, Tensor};
use cnn_kernels::JoinedMap;

use super::concat_packed::concat_packed;
use super::residual_sum::BranchEnd;
use crate::{
    Activate, Activation, BatchNorm2d, BatchNorm2dConfig, Builder, Concat, Context, Conv2d,
    Conv2dConfig, FeatureMap, Layer, Mode, Padding, ResizeLike,
};

/// What a [`ConvNormAct`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvNormActConfig {
    conv: Conv2dConfig,
    norm: BatchNorm2dConfig,
    activation: Activation,
}

impl ConvNormActConfig {
    /// A convolution (its bias is dropped: the norm has one), the norm after it, and the activation
    /// after that.
    pub const fn new(conv: Conv2dConfig, norm: BatchNorm2dConfig, activation: Activation) -> Self {
        Self {
            conv: conv.without_bias(),
            norm,
            activation,
        }
    }

    /// A convolution with an odd kernel that is padded to keep the size, batch normalisation and
    /// ReLU: what most networks are made of.
    pub const fn relu(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        let conv = Conv2dConfig::new(in_channels, out_channels, kernel_size)
            .with_padding(Padding::all(kernel_size / 2));
        Self::new(conv, BatchNorm2dConfig::new(out_channels), Activation::Relu)
    }

    /// The same with a stride along both axes.
    pub const fn with_stride(mut self, stride: usize) -> Self {
        self.conv = self.conv.with_stride(stride);
        self
    }

    /// The same with another activation, [`Activation::Identity`] for none.
    pub const fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// The same with the convolution's bias, which some published files have, though the norm takes
    /// its effect away in training.
    pub const fn with_conv_bias(mut self) -> Self {
        self.conv = self.conv.with_bias();
        self
    }

    /// Takes the convolution's parameters from one place and the norm's from another, as `conv1`
    /// and `bn1` lie side by side in published files.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, conv: &Builder, norm: &Builder) -> Result<ConvNormAct> {
        let mode = conv.mode();
        let snapshot = conv.snapshot();
        let mut conv = self.conv.build_unpacked(conv)?;
        let norm_layer = self.norm.build(norm)?;
        if mode == Mode::Inference {
            let Folded { weight, bias } = Folded::new(&conv, &norm_layer)?;
            let dtype = conv.weight().dtype();
            conv.pack(
                &weight.to_dtype(dtype)?,
                Some(&bias.to_dtype(dtype)?),
                snapshot,
            )?;
        }
        let activation = (self.activation != Activation::Identity)
            .then(|| Activate::new(self.activation, &norm.pp("act")));
        Ok(ConvNormAct {
            conv,
            norm: norm_layer,
            activation,
        })
    }
}

/// A convolution that has taken in the norm after it, with that one's running statistics, in f64.
pub(super) struct Folded {
    /// `(out, in / groups, rows, columns)`.
    pub(super) weight: Tensor,
    /// `(out)`.
    pub(super) bias: Tensor,
}

impl Folded {
    pub(super) fn new(conv: &Conv2d, norm: &BatchNorm2d) -> Result<Self> {
        let (scale, shift) = norm.scale_and_shift()?;
        let shift = match conv.bias() {
            Some(bias) => {
                let scale = scale.flatten_all()?;
                (shift + (bias.to_dtype(DType::F64)? * scale)?)?
            }
            None => shift,
        };
        Ok(Self {
            weight: conv.weight().to_dtype(DType::F64)?.broadcast_mul(&scale)?,
            bias: shift,
        })
    }
}

/// `activation(norm(conv(xs)))`.
///
/// Norm and activation are one pass unless an observer watches, with the same values. Built for
/// inference, all is one convolution with the norm's running statistics, whatever the context says;
/// an observer sees it as such.
#[derive(Debug, Clone)]
pub struct ConvNormAct {
    conv: Conv2d,
    norm: BatchNorm2d,
    activation: Option<Activate>,
}

impl ConvNormAct {
    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.conv.out_channels()
    }

    /// The channels of the outputs of several units one after another, as `concat` joins them;
    /// without a pass of its own where all were built for inference.
    ///
    /// # Errors
    /// If the outputs differ in height or width, and those of the units.
    pub fn concat(
        parts: &[(&Self, &FeatureMap)],
        concat: &Concat,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let convs: Vec<_> = parts
            .iter()
            .map(|(part, xs)| (&part.conv, *xs, part.kind()))
            .collect();
        if let Some(joined) = concat_packed(&convs, concat, cx) {
            return joined;
        }
        let outputs = parts
            .iter()
            .map(|(part, xs)| part.forward(xs, cx))
            .collect::<Result<Vec<_>>>()?;
        concat.forward(&outputs.iter().collect::<Vec<_>>(), cx)
    }

    /// `self(concat([resize(xs), skip]))`: what a decoder makes of a deeper map and of the encoder's
    /// map of the size that it grows to (Ronneberger et al. 2015, "U-Net").
    ///
    /// Built for inference, the maps are read where they lie unless an observer watches: their
    /// concatenation is not written, nor a map that is resized to twice its size by the nearest
    /// pixel.
    ///
    /// # Errors
    /// If the batches differ, and those of the layers.
    pub fn forward_skip(
        &self,
        xs: &FeatureMap,
        skip: &FeatureMap,
        resize: &ResizeLike,
        concat: &Concat,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        if resize.doubles(xs, skip) && !cx.is_observed() {
            let part = |map, doubled| JoinedMap { map, doubled };
            let maps = [part(xs, true), part(skip, false)];
            if let Some(ys) = self.conv.forward_joined(&maps, self.kind()) {
                return ys;
            }
        }
        self.forward_concat(&[&resize.forward(xs, skip, cx)?, skip], concat, cx)
    }

    /// `self(concat(maps))`. Built for inference, the maps are read where they lie unless an
    /// observer watches: their concatenation is not written.
    ///
    /// # Errors
    /// If the maps differ in batch, height or width, and those of the layers.
    pub fn forward_concat(
        &self,
        maps: &[&FeatureMap],
        concat: &Concat,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        if !cx.is_observed() {
            let plain = |&map| JoinedMap {
                map,
                doubled: false,
            };
            let parts: Vec<JoinedMap<'_>> = maps.iter().map(plain).collect();
            if let Some(ys) = self.conv.forward_joined(&parts, self.kind()) {
                return ys;
            }
        }
        self.forward(&concat.forward(maps, cx)?, cx)
    }

    /// `depthwise(self(xs))`, where the map between need not be written: both were built for
    /// inference, nobody watches, and the kernels find it faster. `None` elsewhere.
    pub(super) fn forward_expanded(
        &self,
        depthwise: &Self,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Option<Result<FeatureMap>> {
        if cx.is_observed() {
            return None;
        }
        let after = [self.kind(), depthwise.kind()];
        self.conv.forward_expanded(&depthwise.conv, xs, after)
    }

    /// The activation at its end.
    fn kind(&self) -> Activation {
        self.activation
            .as_ref()
            .map_or(Activation::Identity, Activate::activation)
    }
}

impl BranchEnd for ConvNormAct {
    /// The sum in the norm's pass or, built for inference, in the convolution's; `None` if the layer
    /// has an activation of its own.
    fn forward_sum(
        &self,
        xs: &FeatureMap,
        shortcut: &FeatureMap,
        activation: Option<&Activate>,
        cx: &Context<'_>,
    ) -> Option<Result<FeatureMap>> {
        if self.activation.is_some() {
            return None;
        }
        let kind = activation.map_or(Activation::Identity, Activate::activation);
        if let Some(sum) = self.conv.forward_packed(xs, Some(shortcut), kind, cx) {
            return Some(sum);
        }
        let fusible = activation.map_or(!cx.is_observed(), |activation| {
            activation.fusible(cx).is_some()
        });
        let norm = |ys: FeatureMap| self.norm.forward_fused(&ys, Some(shortcut), kind, cx);
        fusible.then(|| self.conv.forward(xs, cx).and_then(norm))
    }
}

impl Layer for ConvNormAct {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        if let Some(ys) = self.conv.forward_packed(xs, None, self.kind(), cx) {
            return ys;
        }
        let ys = self.conv.forward(xs, cx)?;
        let Some(layer) = &self.activation else {
            return self.norm.forward(&ys, cx);
        };
        match layer.fusible(cx) {
            Some(activation) => self.norm.forward_fused(&ys, None, activation, cx),
            None => layer.forward(&self.norm.forward(&ys, cx)?, cx),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{BackwardRule, Event, Interpolation, Observer, Store};
    use candle_core::{Device, Var};
    use cnn_core::Key;
    use std::cell::RefCell;

    #[derive(Default)]
    struct Kinds(RefCell<Vec<&'static str>>);

    impl Observer for Kinds {
        fn exit(&self, event: &Event<'_>) -> Result<()> {
            self.0.borrow_mut().push(event.kind.name());
            Ok(())
        }
    }

    #[test]
    fn a_skip_is_joined_alike_in_every_mode() {
        let noise = |shape: (usize, usize, usize, usize)| {
            let noise = Tensor::rand(-1f32, 1., shape, &Device::Cpu).unwrap();
            FeatureMap::from_nhwc(&noise).unwrap()
        };
        let skip = noise((2, 26, 22, 24));
        for (xs, interpolation) in [
            (noise((2, 13, 11, 40)), Interpolation::Nearest),
            (noise((2, 9, 11, 40)), Interpolation::Nearest),
            (
                noise((2, 13, 11, 40)),
                Interpolation::Bilinear {
                    align_corners: false,
                },
            ),
        ] {
            let store = Store::new(0);
            let run = |mode, cx: &Context<'_>| -> Vec<f32> {
                let root = store.builder(mode);
                let unit = ConvNormActConfig::relu(64, 32, 3);
                let unit = unit.build(&root.pp("conv"), &root.pp("bn")).unwrap();
                let resize = ResizeLike::new(interpolation, &root.pp("up"));
                let concat = Concat::new(&root.pp("cat"));
                let ys = unit.forward_skip(&xs, &skip, &resize, &concat, cx).unwrap();
                ys.to_nhwc().flatten_all().unwrap().to_vec1().unwrap()
            };
            let expected = run(Mode::Eval, &Context::eval());
            let found = run(Mode::Inference, &Context::eval());
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
            assert!(found.iter().zip(&expected).all(near));
            // Watched, every layer is seen, with the same values.
            let kinds = Kinds::default();
            let watched = run(Mode::Inference, &Context::eval().with_observer(&kinds));
            assert!(watched == found);
            assert_eq!(*kinds.0.borrow(), ["resize", "concat", "conv2d"]);
        }
    }

    #[test]
    fn an_observer_sees_every_layer_and_changes_no_value() {
        let xs = Var::rand(-1f32, 1., (2, 3, 9, 7), &Device::Cpu).unwrap();
        let upstream = Tensor::rand(-1f32, 1., (2, 8, 7, 5), &Device::Cpu).unwrap();
        for activation in [
            Activation::Relu,
            Activation::Relu6,
            Activation::LeakyRelu(0.1),
            Activation::HardSwish,
        ] {
            let config = ConvNormActConfig::new(
                Conv2dConfig::new(3, 8, 3),
                BatchNorm2dConfig::new(8),
                activation,
            );
            let run = |cx: &Context<'_>| -> [Vec<f32>; 2] {
                let root = Store::new(0).builder(Mode::Train);
                let unit = config.build(&root.pp("conv"), &root.pp("bn")).unwrap();
                let ys = unit
                    .forward(&FeatureMap::from_nchw(&xs).unwrap(), cx)
                    .unwrap()
                    .to_nchw()
                    .unwrap();
                let grads = (&ys * &upstream)
                    .unwrap()
                    .sum_all()
                    .unwrap()
                    .backward()
                    .unwrap();
                [&ys, grads.get(&xs).unwrap()]
                    .map(|tensor| tensor.flatten_all().unwrap().to_vec1().unwrap())
            };
            let cx = Context::train(Key::new(0));
            let kinds = Kinds::default();
            assert!(run(&cx) == run(&cx.with_observer(&kinds)), "{activation:?}");
            assert_eq!(kinds.0.borrow()[..2], ["conv2d", "batch_norm"]);
            assert_eq!(kinds.0.borrow().len(), 3);
            let guided = run(&cx.with_backward_rule(BackwardRule::Guided));
            assert_eq!(
                guided[1] == run(&cx)[1],
                activation == Activation::HardSwish,
                "{activation:?}"
            );
        }
    }
}
