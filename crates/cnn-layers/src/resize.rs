//! Resizing as layers, which have no parameters.

use candle_core::Result;
use cnn_kernels::{resize, space_to_depth};

use crate::{Builder, Context, FeatureMap, Interpolation, Layer, LayerKind, ResizeTo};

/// Maps resized to a size, or by a factor, that is known when the network is built; see
/// [`cnn_kernels::resize`].
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H', W', C)`.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_layers::{Context, FeatureMap, Interpolation, Layer, Resize2d, ResizeTo};
///
/// let corners = Interpolation::Bilinear {
///     align_corners: true,
/// };
/// let up = Resize2d::new(ResizeTo::Factor([4., 4.]), corners);
/// let xs = FeatureMap::from_nhwc(&Tensor::zeros((1, 5, 7, 21), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(up.forward(&xs, &Context::eval())?.dims(), [1, 20, 28, 21]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Resize2d {
    path: String,
    to: ResizeTo,
    interpolation: Interpolation,
}

impl Resize2d {
    /// The layer; an [`at`](Resize2d::at) gives it a path, else it is called by its kind.
    pub fn new(to: ResizeTo, interpolation: Interpolation) -> Self {
        let kind = LayerKind::Resize { to, interpolation };
        Self {
            path: kind.name().to_string(),
            to,
            interpolation,
        }
    }

    /// The same under the builder's path, by which errors and observers call it.
    #[must_use]
    pub fn at(mut self, builder: &Builder) -> Self {
        self.path = builder.path().to_string();
        self
    }
}

impl Layer for Resize2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = LayerKind::Resize {
            to: self.to,
            interpolation: self.interpolation,
        };
        cx.layer(&self.path, kind, &[xs.into()], || {
            resize(xs, self.to, self.interpolation)
        })
    }
}

/// Maps resized to the rows and columns of others: of the encoder's maps that a decoder joins them
/// with, or of the images. See [`cnn_kernels::resize`].
///
/// # Shapes
/// `(N, H, W, C)` and any `(_, H', W', _)` to `(N, H', W', C)`.
#[derive(Debug, Clone)]
pub struct ResizeLike {
    path: String,
    interpolation: Interpolation,
}

impl ResizeLike {
    /// The layer at the builder's place.
    pub fn new(interpolation: Interpolation, builder: &Builder) -> Self {
        Self {
            path: builder.path().to_string(),
            interpolation,
        }
    }

    /// Whether it makes four equal pixels of each pixel of `xs`.
    pub(crate) fn doubles(&self, xs: &FeatureMap, like: &FeatureMap) -> bool {
        let doubled = [2 * xs.height(), 2 * xs.width()];
        self.interpolation == Interpolation::Nearest && [like.height(), like.width()] == doubled
    }

    /// `xs` with as many rows and columns as `like`, of which nothing else is read.
    ///
    /// # Errors
    /// If one of the maps has no pixel.
    pub fn forward(
        &self,
        xs: &FeatureMap,
        like: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let kind = LayerKind::ResizeLike {
            interpolation: self.interpolation,
        };
        let size = ResizeTo::Size([like.height(), like.width()]);
        cx.layer(&self.path, kind, &[xs.into(), like.into()], || {
            resize(xs, size, self.interpolation)
        })
    }
}

/// The pixels of each 2×2 block as the channels of one pixel, YOLOX's `Focus` without its
/// convolution; see [`cnn_kernels::space_to_depth`].
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H / 2, W / 2, 4 C)`, of even height and width.
#[derive(Debug, Clone)]
pub struct SpaceToDepth {
    path: String,
}

impl SpaceToDepth {
    /// The layer at the builder's place.
    pub fn new(builder: &Builder) -> Self {
        Self {
            path: builder.path().to_string(),
        }
    }
}

impl Layer for SpaceToDepth {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = LayerKind::SpaceToDepth;
        cx.layer(&self.path, kind, &[xs.into()], || space_to_depth(xs))
    }
}
