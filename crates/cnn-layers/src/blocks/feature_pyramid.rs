//! A feature pyramid (Lin et al. 2017, "Feature Pyramid Networks for Object Detection",
//! <https://arxiv.org/abs/1612.03144>).

use candle_core::Result;

use super::residual_sum::check_residual;
use crate::{
    Activate, Activation, Add, Builder, Context, Conv2d, Conv2dConfig, Error, Fan, FeatureMap,
    Init, Interpolation, Layer, MaxPool2d, Padding, ResizeLike,
};

/// What a [`FeaturePyramid`] is built from.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{Context, ExtraLevels, FeatureMap, FeaturePyramidConfig, Mode, Store};
///
/// let store = Store::new(0);
/// let pyramid = FeaturePyramidConfig::new([16, 32], 8)
///     .with_extra_levels(ExtraLevels::Pool)
///     .build(&store.builder(Mode::Eval).pp("fpn"))?;
/// let zeros = |height: usize, width: usize, channels: usize| {
///     FeatureMap::from_nhwc(&Tensor::zeros((1, height, width, channels), DType::F32, &Device::Cpu)?)
/// };
/// let levels = pyramid.forward(&[zeros(8, 12, 16)?, zeros(4, 6, 32)?], &Context::eval())?;
/// let sizes: Vec<_> = levels.iter().map(|map| [map.height(), map.width(), map.channels()]).collect();
/// assert_eq!(sizes, [[8, 12, 8], [4, 6, 8], [2, 3, 8]]);
/// assert_eq!(store.names()[0], "fpn.inner_blocks.0.0.weight");
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeaturePyramidConfig {
    in_channels: Vec<usize>,
    out_channels: usize,
    extra: ExtraLevels,
}

/// Levels of a pyramid beyond the coarsest map that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExtraLevels {
    /// None.
    #[default]
    None,
    /// Every second row and column of the coarsest level, torchvision's `LastLevelMaxPool`: Faster
    /// R-CNN's, whose largest anchors lie there.
    Pool,
    /// Two 3×3 convolutions with stride 2, `p6` and, behind a ReLU, `p7`, torchvision's
    /// `LastLevelP6P7`.
    P6P7(
        /// What the first of them reads.
        PyramidSource,
    ),
}

impl ExtraLevels {
    /// How many they are.
    pub const fn count(self) -> usize {
        match self {
            Self::None => 0,
            Self::Pool => 1,
            Self::P6P7(_) => 2,
        }
    }
}

/// A coarsest map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PyramidSource {
    /// Of the backbone, as in RetinaNet's paper.
    Backbone,
    /// Of the pyramid itself, as in FCOS, and in torchvision's RetinaNet.
    Pyramid,
}

/// torchvision's rule for all convolutions of a pyramid, `kaiming_uniform_` with `a = 1`.
const INIT: Init = Init::KaimingUniform {
    fan: Fan::In,
    gain: 1.,
};

impl FeaturePyramidConfig {
    /// A pyramid of `out_channels` over maps of so many channels, from the finest on.
    pub fn new(in_channels: impl Into<Vec<usize>>, out_channels: usize) -> Self {
        Self {
            in_channels: in_channels.into(),
            out_channels,
            extra: ExtraLevels::None,
        }
    }

    /// Levels beyond the coarsest map; default none.
    #[must_use]
    pub fn with_extra_levels(self, extra: ExtraLevels) -> Self {
        Self { extra, ..self }
    }

    /// Takes the parameters `inner_blocks.N.0`, `layer_blocks.N.0`, and those of the extra levels,
    /// `extra_blocks.p6` and `extra_blocks.p7`, from the builder's place: torchvision's names.
    ///
    /// # Errors
    /// If there are no maps, a number of channels is zero, or a plan of widths makes the levels
    /// differ.
    pub fn build(&self, builder: &Builder) -> Result<FeaturePyramid> {
        let Some(&deepest) = self.in_channels.last() else {
            return Err(Error::argument("in_channels", "none", "those of at least one map").into());
        };
        let conv = |channels: usize, kernel_size: usize, stride: usize, at: &Builder| {
            Conv2dConfig::new(channels, at.width(self.out_channels), kernel_size)
                .with_stride(stride)
                .with_padding(Padding::all(kernel_size / 2))
                .with_init(INIT)
                .with_bias_init(Init::ZEROS)
                .build(at)
        };
        let level = |(number, &channels): (usize, &usize)| -> Result<Level> {
            let at = |name: &str| builder.pp(name).pp(number);
            let inner = conv(channels, 1, 1, &at("inner_blocks").pp(0))?;
            Ok(Level {
                outer: conv(inner.out_channels(), 3, 1, &at("layer_blocks").pp(0))?,
                inner,
                resize: ResizeLike::new(Interpolation::Nearest, &at("resize")),
                add: Add::new(&at("add")),
            })
        };
        let levels = self.in_channels.iter().enumerate().map(level);
        let levels: Vec<Level> = levels.collect::<Result<_>>()?;
        let out = levels[0].outer.out_channels();
        for (number, level) in levels.iter().enumerate() {
            check_residual(
                levels[0].inner.out_channels(),
                level.inner.out_channels(),
                &builder.pp("inner_blocks").pp(number),
            )?;
            check_residual(
                out,
                level.outer.out_channels(),
                &builder.pp("layer_blocks").pp(number),
            )?;
        }
        let at = builder.pp("extra_blocks");
        Ok(FeaturePyramid {
            levels,
            out_channels: out,
            extra: match self.extra {
                ExtraLevels::None => Extra::None,
                ExtraLevels::Pool => Extra::Pool(MaxPool2d::new(1, 2).at(&at)),
                ExtraLevels::P6P7(source) => {
                    let read = match source {
                        PyramidSource::Backbone => deepest,
                        PyramidSource::Pyramid => out,
                    };
                    let p6 = conv(read, 3, 2, &at.pp("p6"))?;
                    let p7 = conv(p6.out_channels(), 3, 2, &at.pp("p7"))?;
                    // The heads read all levels with one weight.
                    check_residual(out, p6.out_channels(), &at.pp("p6"))?;
                    check_residual(out, p7.out_channels(), &at.pp("p7"))?;
                    Extra::P6P7(Box::new(SixthAndSeventh {
                        source,
                        p6,
                        act: Activate::new(Activation::Relu, &at.pp("act")),
                        p7,
                    }))
                }
            },
        })
    }
}

/// Maps of all sizes with the meaning of the coarsest, as torchvision's `FeaturePyramidNetwork`:
/// a 1×1 convolution of each map, to which the coarser sum is added, enlarged to the nearest pixel,
/// and a 3×3 convolution of each sum. The convolutions have biases and no norms.
///
/// # Shapes
/// Maps `(N, Hᵢ, Wᵢ, Cᵢ)` from the finest on, of sizes that need not be whole multiples of each
/// other, to `(N, Hᵢ, Wᵢ, out_channels)`, and the extra levels, each half as large as the one before,
/// rounded up.
#[derive(Debug, Clone)]
pub struct FeaturePyramid {
    levels: Vec<Level>,
    out_channels: usize,
    extra: Extra,
}

#[derive(Debug, Clone)]
struct Level {
    inner: Conv2d,
    outer: Conv2d,
    resize: ResizeLike,
    add: Add,
}

#[derive(Debug, Clone)]
enum Extra {
    None,
    Pool(MaxPool2d),
    P6P7(Box<SixthAndSeventh>),
}

/// The levels `p6` and `p7`.
#[derive(Debug, Clone)]
struct SixthAndSeventh {
    source: PyramidSource,
    p6: Conv2d,
    act: Activate,
    p7: Conv2d,
}

impl FeaturePyramid {
    /// Channels of all levels: those of the configuration, or others where a plan of widths has
    /// them.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// The levels, from the finest on.
    ///
    /// # Errors
    /// If there are not as many maps as the pyramid was built for, or one has other channels.
    pub fn forward(&self, maps: &[FeatureMap], cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        if maps.len() != self.levels.len() {
            let expected = format!("{}, one for each level", self.levels.len());
            return Err(Error::argument("maps", maps.len(), expected).into());
        }
        let mut sum: Option<FeatureMap> = None;
        let mut outputs = Vec::with_capacity(maps.len());
        for (level, xs) in self.levels.iter().zip(maps).rev() {
            let lateral = level.inner.forward(xs, cx)?;
            let whole = match &sum {
                Some(coarser) => {
                    let enlarged = level.resize.forward(coarser, &lateral, cx)?;
                    level.add.forward(&lateral, &enlarged, cx)?
                }
                None => lateral,
            };
            outputs.push(level.outer.forward(&whole, cx)?);
            sum = Some(whole);
        }
        outputs.reverse();
        let further = self.extra.forward(maps, &outputs, cx)?;
        outputs.extend(further);
        Ok(outputs)
    }
}

impl Extra {
    /// Behind the backbone's maps and the pyramid's levels over them, of which there are as many.
    fn forward(
        &self,
        maps: &[FeatureMap],
        levels: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        let (Some(of_backbone), Some(of_pyramid)) = (maps.last(), levels.last()) else {
            return Ok(Vec::new());
        };
        match self {
            Self::None => Ok(Vec::new()),
            Self::Pool(pool) => Ok(vec![pool.forward(of_pyramid, cx)?]),
            Self::P6P7(levels) => {
                let read = match levels.source {
                    PyramidSource::Backbone => of_backbone,
                    PyramidSource::Pyramid => of_pyramid,
                };
                let sixth = levels.p6.forward(read, cx)?;
                let rectified = levels.act.forward(&sixth, cx)?;
                let seventh = levels.p7.forward(&rectified, cx)?;
                Ok(vec![sixth, seventh])
            }
        }
    }
}
