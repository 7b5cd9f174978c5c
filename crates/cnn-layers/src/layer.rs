//! The contract of a layer, and a chain of them.

use candle_core::Result;

use crate::{Context, FeatureMap};

/// A function of feature maps, with parameters of its own.
///
/// A layer of one's own runs inside [`Context::layer`], which shows it to observers and puts its
/// path into errors:
///
/// ```
/// use candle_core::{Device, Result, Tensor};
/// use cnn_layers::{Builder, Context, FeatureMap, Init, Layer, Mode, Store};
///
/// /// `xs · scale`, with one learned factor per channel.
/// struct Scale {
///     path: String,
///     factors: Tensor,
/// }
///
/// impl Scale {
///     fn build(channels: usize, builder: &Builder) -> Result<Self> {
///         Ok(Self {
///             path: builder.path().to_string(),
///             factors: builder.param("weight", &[channels], Init::ONES)?,
///         })
///     }
/// }
///
/// impl Layer for Scale {
///     fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
///         cx.layer(&self.path, "scale", &[xs.into()], || {
///             FeatureMap::from_nhwc(&xs.to_nhwc().broadcast_mul(&self.factors)?)
///         })
///     }
/// }
///
/// let store = Store::new(0);
/// let layer = Scale::build(3, &store.builder(Mode::Train).pp("scale"))?;
/// store.set("scale.weight", &Tensor::new(&[1f32, 2., 3.], &Device::Cpu)?)?;
/// let xs = FeatureMap::from_nhwc(&Tensor::new(&[[[[5f32, 5., 5.]]]], &Device::Cpu)?)?;
/// assert_eq!(
///     layer
///         .forward(&xs, &Context::eval())?
///         .flatten()?
///         .to_vec2::<f32>()?,
///     [[5., 10., 15.]]
/// );
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Layer: Send + Sync {
    /// Computes the output.
    ///
    /// # Errors
    /// If the input's shape does not fit, with the layer's path and the numbers.
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap>;
}

/// Layers one after another.
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn Layer>>);

impl Sequential {
    /// No layer: the identity.
    pub fn new() -> Self {
        Self::default()
    }

    /// The chain with `layer` at its end.
    #[expect(
        clippy::should_implement_trait,
        reason = "a chain grows by a layer; nothing is summed"
    )]
    pub fn add(mut self, layer: impl Layer + 'static) -> Self {
        self.0.push(Box::new(layer));
        self
    }

    /// Puts `layer` at the chain's end.
    pub fn push(&mut self, layer: impl Layer + 'static) {
        self.0.push(Box::new(layer));
    }

    /// The layers, in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Layer> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<L: Layer + 'static> FromIterator<L> for Sequential {
    fn from_iter<I: IntoIterator<Item = L>>(layers: I) -> Self {
        Self(
            layers
                .into_iter()
                .map(|layer| Box::new(layer) as Box<dyn Layer>)
                .collect(),
        )
    }
}

impl Layer for Sequential {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.0
            .iter()
            .try_fold(xs.clone(), |xs, layer| layer.forward(&xs, cx))
    }
}
