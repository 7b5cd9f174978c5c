//! The re-parameterisable block of RepVGG (Ding et al. 2021, "RepVGG: Making VGG-style ConvNets
//! Great Again").

use candle_core::{DType, Result, Tensor};

use super::conv_norm_act::Folded;
use super::residual_sum::check_residual;
use crate::{
    Activate, Activation, BatchNorm2d, BatchNorm2dConfig, Builder, Context, Conv2dConfig, ConvAct,
    ConvNormAct, ConvNormActConfig, FeatureMap, Init, Layer, Mode, Padding, ResidualSum,
};

/// What a [`RepVggBlock`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RepVggBlockConfig {
    in_channels: usize,
    out_channels: usize,
    stride: usize,
    /// The channels that it reads, where the plan of widths changed those of the layers before it.
    input: Option<usize>,
    drop_path: f64,
    is_plain: bool,
}

impl RepVggBlockConfig {
    /// A block with all its branches; the identity is one of them where it keeps channels and
    /// resolution.
    pub const fn new(in_channels: usize, out_channels: usize, stride: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride,
            input: None,
            drop_path: 0.,
            is_plain: false,
        }
    }

    /// Reads that many channels, where a plan of widths ([`Builder::with_widths`]) changed those of
    /// the layers before. Whether there is an identity depends on the numbers of `new`.
    pub const fn with_input(mut self, channels: usize) -> Self {
        self.input = Some(channels);
        self
    }

    /// Drops both convolutions with this probability in training where the block has an identity.
    pub const fn with_drop_path(mut self, p: f64) -> Self {
        self.drop_path = p;
        self
    }

    /// The block whose branches were summed already: its parameters are `reparam_conv.weight` and
    /// `reparam_conv.bias`.
    pub const fn plain(mut self) -> Self {
        self.is_plain = true;
        self
    }

    /// Takes `conv_kxk`, `conv_1x1` (each with `conv` and `bn`) and, where there is one, the norm
    /// `identity` from the builder's place; or `reparam_conv` of a [`plain`](Self::plain) block.
    ///
    /// # Errors
    /// If a number is zero, if a plan of widths gives the branches different channels, and if the
    /// probability is not in `0..1`.
    pub fn build(&self, builder: &Builder) -> Result<RepVggBlock> {
        let input = self.input.unwrap_or(self.in_channels);
        let act = Activate::new(Activation::Relu, &builder.pp("act"));
        if self.is_plain {
            let at = builder.pp("reparam_conv");
            let out_channels = at.width(self.out_channels);
            let conv = self
                .conv(input, out_channels, 3)
                .with_bias_init(Init::ZEROS);
            return Ok(RepVggBlock {
                out_channels,
                form: Form::Plain(ConvAct::build(&conv, act, &at)?),
            });
        }
        let [at_kxk, at_1x1] = ["conv_kxk", "conv_1x1"].map(|name| builder.pp(name));
        let out_channels = at_kxk.pp("conv").width(self.out_channels);
        check_residual(
            out_channels,
            at_1x1.pp("conv").width(self.out_channels),
            &at_1x1,
        )?;
        let has_identity = self.in_channels == self.out_channels && self.stride == 1;
        if has_identity {
            check_residual(input, out_channels, builder)?;
        }
        let parts = Parts {
            conv_kxk: self.conv(input, out_channels, 3),
            conv_1x1: self.conv(input, out_channels, 1),
            norm: BatchNorm2dConfig::new(out_channels)
                .with_weight_init(NORM_WEIGHT)
                .with_bias_init(NORM_BIAS),
            has_identity,
        };
        let form = if builder.mode() == Mode::Inference {
            Form::Plain(parts.summed(act, builder)?)
        } else {
            Form::Branches(Box::new(parts.branches(act, self.drop_path, builder)?))
        };
        Ok(RepVggBlock { out_channels, form })
    }

    fn conv(&self, from: usize, to: usize, kernel_size: usize) -> Conv2dConfig {
        Conv2dConfig::new(from, to, kernel_size)
            .with_stride(self.stride)
            .with_padding(Padding::all(kernel_size / 2))
            .with_init(Init::KAIMING_NORMAL_OUT)
    }
}

/// timm's: normal around 0.1 with standard deviation 0.1.
const NORM_WEIGHT: Init = Init::custom(|shape, rng| {
    let count = shape.iter().product();
    (0..count).map(|_| 0.1 + 0.1 * rng.normal()).collect()
});
const NORM_BIAS: Init = Init::Normal { std: 0.1 };

/// `relu(bn(conv3×3(xs)) + bn(conv1×1(xs)) + bn(xs))`, the last term where the block keeps channels
/// and resolution.
///
/// All three are linear once the norms have their running statistics, so they are one 3×3
/// convolution with a bias: the 1×1 kernel and the identity are 3×3 kernels that are zero but in
/// the middle. Built for inference, the block is that convolution, at `reparam_conv`.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, ⌈H / stride⌉, ⌈W / stride⌉, out_channels)`.
#[derive(Debug, Clone)]
pub struct RepVggBlock {
    out_channels: usize,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Branches(Box<Branches>),
    /// One 3×3 convolution with a bias.
    Plain(ConvAct),
}

#[derive(Debug, Clone)]
struct Branches {
    conv_kxk: ConvNormAct,
    conv_1x1: ConvNormAct,
    /// Of both convolutions; with the activation where there is no identity.
    sum: ResidualSum,
    identity: Option<Identity>,
}

#[derive(Debug, Clone)]
struct Identity {
    norm: BatchNorm2d,
    /// Of the convolutions, which may be dropped, and the norm.
    sum: ResidualSum,
    act: Activate,
}

impl RepVggBlock {
    /// Channels of its output.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }
}

impl Layer for RepVggBlock {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match &self.form {
            Form::Plain(conv) => conv.forward(xs, cx),
            Form::Branches(branches) => branches.forward(xs, cx),
        }
    }
}

impl Branches {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let pointwise = self.conv_1x1.forward(xs, cx)?;
        let convs = self.sum.forward(&self.conv_kxk, xs, &pointwise, cx)?;
        let Some(Identity { norm, sum, act }) = &self.identity else {
            return Ok(convs);
        };
        // The sum and the activation belong to the norm's pass where nobody asks for them alone.
        match act.fusible(cx) {
            Some(activation) if !sum.drops(cx) => {
                norm.forward_fused(xs, Some(&convs), activation, cx)
            }
            _ => sum.join(&convs, &norm.forward(xs, cx)?, cx),
        }
    }
}

/// The configurations of a block's branches.
struct Parts {
    conv_kxk: Conv2dConfig,
    conv_1x1: Conv2dConfig,
    norm: BatchNorm2dConfig,
    has_identity: bool,
}

impl Parts {
    fn branches(&self, act: Activate, drop_path: f64, builder: &Builder) -> Result<Branches> {
        let unit = |conv: Conv2dConfig, name: &str| {
            let at = builder.pp(name);
            ConvNormActConfig::new(conv, self.norm, Activation::Identity)
                .build(&at.pp("conv"), &at.pp("bn"))
        };
        let conv_kxk = unit(self.conv_kxk, "conv_kxk")?;
        let conv_1x1 = unit(self.conv_1x1, "conv_1x1")?;
        let at_convs = builder.pp("convs");
        if !self.has_identity {
            let sum = ResidualSum::new(0., Some(act), &at_convs)?;
            return Ok(Branches {
                conv_kxk,
                conv_1x1,
                sum,
                identity: None,
            });
        }
        let identity = Identity {
            norm: self.norm.build(&builder.pp("identity"))?,
            sum: ResidualSum::new(drop_path, Some(act.clone()), builder)?,
            act,
        };
        Ok(Branches {
            conv_kxk,
            conv_1x1,
            sum: ResidualSum::new(0., None, &at_convs)?,
            identity: Some(identity),
        })
    }

    /// The one convolution that all branches are together.
    fn summed(&self, act: Activate, builder: &Builder) -> Result<ConvAct> {
        let snapshot = builder.snapshot();
        let fold = |conv: Conv2dConfig, name: &str| {
            let at = builder.pp(name);
            let conv = conv.without_bias().build_unpacked(&at.pp("conv"))?;
            let folded = Folded::new(&conv, &self.norm.build(&at.pp("bn"))?)?;
            Ok::<_, candle_core::Error>((conv, folded))
        };
        let (conv, kxk) = fold(self.conv_kxk, "conv_kxk")?;
        let (_, mut middle) = fold(self.conv_1x1, "conv_1x1")?;
        if self.has_identity {
            let norm = self.norm.build(&builder.pp("identity"))?;
            let (scale, shift) = norm.scale_and_shift()?;
            let channels = middle.bias.dim(0)?;
            let identity = Tensor::eye(channels, DType::F64, shift.device())?;
            let identity = identity
                .reshape((channels, channels, 1, 1))?
                .broadcast_mul(&scale)?;
            middle.weight = (middle.weight + identity)?;
            middle.bias = (middle.bias + shift)?;
        }
        let dtype = conv.weight().dtype();
        let around = middle.weight.pad_with_zeros(2, 1, 1)?;
        let weight = (kxk.weight + around.pad_with_zeros(3, 1, 1)?)?.to_dtype(dtype)?;
        let bias = (kxk.bias + middle.bias)?.to_dtype(dtype)?;
        let mut conv = conv.at(&builder.pp("reparam_conv"));
        conv.pack(&weight, Some(&bias), snapshot)?;
        Ok(ConvAct::of(conv, act))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::RefCell;

    use candle_core::Device;
    use cnn_core::Key;

    use super::*;
    use crate::{Event, Observer, Store};

    #[derive(Default)]
    struct Paths(RefCell<Vec<String>>);

    impl Observer for Paths {
        fn exit(&self, event: &Event<'_>) -> Result<()> {
            self.0.borrow_mut().push(event.path.to_string());
            Ok(())
        }
    }

    fn values(maps: &FeatureMap) -> Vec<f64> {
        let flat = maps.to_nhwc().flatten_all().unwrap();
        flat.to_vec1().unwrap()
    }

    #[test]
    fn the_inference_build_is_one_convolution_that_gives_the_same() {
        let xs = Tensor::rand(-1f64, 1., (2, 7, 5, 6), &Device::Cpu).unwrap();
        let xs = FeatureMap::from_nhwc(&xs).unwrap();
        for (out, stride, branches) in [(6, 1, 3), (6, 2, 2), (9, 1, 2)] {
            let store = Store::with_dtype(3, DType::F64, &Device::Cpu);
            let build = |mode: Mode| {
                let at = store.builder(mode).pp("block");
                RepVggBlockConfig::new(6, out, stride).build(&at).unwrap()
            };
            // Running statistics that are not those of a fresh norm.
            let train = Context::train(Key::new(1));
            for _ in 0..3 {
                build(Mode::Train).forward(&xs, &train).unwrap();
            }
            let norms = store.names();
            let norms = norms.iter().filter(|name| name.ends_with("running_var"));
            assert_eq!(norms.count(), branches);

            let eval = build(Mode::Eval).forward(&xs, &Context::eval()).unwrap();
            let paths = Paths::default();
            let watched = Context::eval().with_observer(&paths);
            let fused = build(Mode::Inference).forward(&xs, &watched).unwrap();
            assert_eq!(*paths.0.borrow(), ["block.reparam_conv"]);
            assert_eq!(fused.dims(), eval.dims());
            for (fused, eval) in values(&fused).iter().zip(values(&eval)) {
                assert!((fused - eval).abs() < 1e-12, "{fused} {eval}");
            }

            // An observer changes no value of the branches either.
            let paths = Paths::default();
            let watched = Context::eval().with_observer(&paths);
            let seen = build(Mode::Eval).forward(&xs, &watched).unwrap();
            assert!(paths.0.borrow().iter().any(|path| path == "block.act"));
            for (seen, eval) in values(&seen).iter().zip(values(&eval)) {
                assert!((seen - eval).abs() < 1e-13, "{seen} {eval}");
            }
        }
    }

    #[test]
    fn a_plain_block_has_one_convolution_in_every_mode() {
        let store = Store::new(0);
        let at = store.builder(Mode::Train).pp("block");
        RepVggBlockConfig::new(4, 4, 1).plain().build(&at).unwrap();
        let mut names = store.names();
        names.sort();
        assert_eq!(
            names,
            ["block.reparam_conv.bias", "block.reparam_conv.weight"]
        );
    }
}
