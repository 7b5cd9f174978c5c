//! Joining maps: sums, concatenations and the scaling of channels, as layers without parameters.

use candle_core::Result;
use cnn_kernels::{Margin, add, concat, scale_channels, zero_pad};

use crate::{Builder, Context, FeatureMap, LayerKind, Value};

macro_rules! join {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name {
            path: String,
        }

        impl $name {
            /// The layer at the builder's place.
            pub fn new(builder: &Builder) -> Self {
                Self { path: builder.path().to_string() }
            }
        }
    };
}

join! {
    /// The sum of two maps of one shape: the residual connection (He et al. 2015).
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use cnn_layers::{Add, Context, FeatureMap, Mode, Store};
    ///
    /// let add = Add::new(&Store::new(0).builder(Mode::Eval).pp("block").pp("add"));
    /// let ones = FeatureMap::from_nchw(&Tensor::ones((1, 2, 3, 5), DType::F32, &Device::Cpu)?)?;
    /// let sum = add.forward(&ones, &ones, &Context::eval())?;
    /// assert_eq!(sum.to_nhwc().mean_all()?.to_scalar::<f32>()?, 2.);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    Add
}
join! {
    /// The channels of several maps one after another: `(N, H, W, C₁ + C₂ + …)`.
    Concat
}
join! {
    /// Maps times one factor per channel: what squeeze-and-excitation ends with (Hu et al. 2017).
    ScaleChannels
}

join! {
    /// Maps with zeros around them, as many rows and columns on both sides as make them as large as
    /// others, the odd one below and to the right: how U-Net's maps meet those of an odd size.
    PadLike
}

impl PadLike {
    /// `xs` with as many rows and columns as `like`, of which nothing else is read.
    ///
    /// # Errors
    /// If `like` is smaller.
    pub fn forward(
        &self,
        xs: &FeatureMap,
        like: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let inputs = [xs.into(), like.into()];
        cx.layer(&self.path, LayerKind::PadLike, &inputs, || {
            pad_like(xs, like)
        })
    }
}

/// What [`PadLike`] computes.
///
/// # Errors
/// If `like` is smaller.
pub fn pad_like(xs: &FeatureMap, like: &FeatureMap) -> Result<FeatureMap> {
    let margin = |found: usize, wanted: usize| {
        let missing = wanted.checked_sub(found)?;
        Some(Margin {
            before: missing / 2,
            after: missing - missing / 2,
        })
    };
    let margins = (
        margin(xs.height(), like.height()),
        margin(xs.width(), like.width()),
    );
    match margins {
        (Some(rows), Some(columns)) => zero_pad(xs, rows, columns),
        _ => Err(cnn_kernels::Error::Shape {
            op: "pad_like",
            what: "the map whose size is wanted",
            found: like.dims().to_vec(),
            expected: format!("at least {} x {} pixels", xs.height(), xs.width()),
        }
        .into()),
    }
}

impl Add {
    /// `xs + ys`.
    ///
    /// # Errors
    /// If the shapes differ: nothing is broadcast.
    pub fn forward(
        &self,
        xs: &FeatureMap,
        ys: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let inputs = [xs.into(), ys.into()];
        cx.layer(&self.path, LayerKind::Add, &inputs, || add(xs, ys))
    }
}

impl Concat {
    /// The channels of all maps, those of the first before those of the second.
    ///
    /// # Errors
    /// If there is no map, or batch, height or width differ.
    pub fn forward(&self, maps: &[&FeatureMap], cx: &Context<'_>) -> Result<FeatureMap> {
        let inputs: Vec<Value<'_>> = maps.iter().map(|&map| map.into()).collect();
        cx.layer(&self.path, LayerKind::Concat, &inputs, || concat(maps))
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl ScaleChannels {
    /// `xs` times the factors, `(N, 1, 1, C)`.
    ///
    /// # Errors
    /// If the number of factors is another than that of the channels.
    pub fn forward(
        &self,
        xs: &FeatureMap,
        factors: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let inputs = [xs.into(), factors.into()];
        cx.layer(&self.path, LayerKind::ChannelScale, &inputs, || {
            scale_channels(xs, factors)
        })
    }
}
