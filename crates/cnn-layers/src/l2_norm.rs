//! Pixels of one length, with one learned factor per channel.

use candle_core::{Result, Tensor};
use cnn_kernels::l2_norm;

use crate::{Builder, Context, FeatureMap, Init, Layer, LayerKind};

/// What an [`L2Norm2d`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct L2Norm2dConfig {
    channels: usize,
    init: f64,
    eps: f64,
}

impl L2Norm2dConfig {
    /// Factors that start as SSD's, at 20, and an `eps` of 1e-12.
    pub const fn new(channels: usize) -> Self {
        Self {
            channels,
            init: 20.,
            eps: 1e-12,
        }
    }

    /// Another value that the factors start as.
    pub const fn with_init(mut self, value: f64) -> Self {
        self.init = value;
        self
    }

    /// Another least length that pixels are divided by.
    pub const fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Takes `scale_weight`, `(channels)`, from the builder's place.
    ///
    /// # Errors
    /// If the store holds it with another shape.
    pub fn build(&self, builder: &Builder) -> Result<L2Norm2d> {
        let init = Init::Constant(self.init);
        Ok(L2Norm2d {
            path: builder.pp("scale_weight").path().to_string(),
            factors: builder.param("scale_weight", &[self.channels], init)?,
            eps: self.eps,
        })
    }
}

/// `x / max(‖x‖, eps) · scale_weight`, where `‖x‖` is over the channels of a pixel: SSD's maps of an
/// early stage, whose values are larger than those of later ones (Liu et al. 2015, "ParseNet",
/// <https://arxiv.org/abs/1506.04579>). The default `eps` is 1e-12, that of PyTorch's `normalize`.
///
/// The parameter lies in the model's own module, so the layer's path is the parameter's, as
/// `backbone.scale_weight`.
///
/// # Shapes
/// `(N, H, W, channels)` to the same.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::{Context, FeatureMap, L2Norm2dConfig, Layer, Mode, Store};
///
/// let store = Store::new(0);
/// let norm = L2Norm2dConfig::new(2).build(&store.builder(Mode::Eval).pp("backbone"))?;
/// let xs = FeatureMap::from_nhwc(&Tensor::new(&[[[[3f32, -4.]]]], &Device::Cpu)?)?;
/// let ys = norm.forward(&xs, &Context::eval())?;
/// let ys = ys.flatten()?.to_vec2::<f32>()?;
/// assert!((ys[0][0] - 12.).abs() < 1e-5 && (ys[0][1] + 16.).abs() < 1e-5);
/// assert_eq!(store.names(), ["backbone.scale_weight"]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct L2Norm2d {
    path: String,
    factors: Tensor,
    eps: f64,
}

impl L2Norm2d {
    /// The factors, `(channels)`.
    pub fn factors(&self) -> &Tensor {
        &self.factors
    }
}

impl Layer for L2Norm2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = LayerKind::L2Norm { eps: self.eps };
        cx.layer(&self.path, kind, &[xs.into()], || {
            l2_norm(xs, &self.factors, self.eps)
        })
    }
}
