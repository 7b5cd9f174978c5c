//! Seeing what every layer reads and gives, without changing the model.

use candle_core::{DType, Result, Tensor, TensorId};

use crate::{FeatureMap, LayerKind};

/// What a layer reads or gives.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Feature maps, `(N, H, W, C)`.
    Maps(&'a FeatureMap),
    /// One vector per image, `(N, features)`.
    Vectors(&'a Tensor),
}

impl Value<'_> {
    /// The dimensions, maps in PyTorch's order `(N, C, H, W)`.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::Maps(maps) => vec![maps.batch(), maps.channels(), maps.height(), maps.width()],
            Self::Vectors(vectors) => vectors.dims().to_vec(),
        }
    }

    /// The identity of this value: a layer that reads what another gave sees the identity that the
    /// other's output had. No two values of a program share one, even after the first is gone.
    pub fn id(&self) -> TensorId {
        match self {
            Self::Maps(maps) => maps.id(),
            Self::Vectors(vectors) => vectors.id(),
        }
    }

    /// The values as a tensor in PyTorch's order.
    ///
    /// # Errors
    /// If the copy fails.
    pub fn to_tensor(&self) -> Result<Tensor> {
        match self {
            Self::Maps(maps) => maps.to_nchw(),
            Self::Vectors(vectors) => Ok((*vectors).clone()),
        }
    }

    /// Whether every value is a finite number.
    ///
    /// # Errors
    /// If the sum cannot be computed.
    pub fn is_finite(&self) -> Result<bool> {
        let values = match self {
            Self::Maps(maps) => maps.detach().to_nhwc(),
            Self::Vectors(vectors) => vectors.detach(),
        };
        // x · 0 is 0 for finite x and NaN otherwise, so the sum cannot overflow.
        let sum = values
            .affine(0., 0.)?
            .sum_all()?
            .to_dtype(DType::F64)?
            .to_scalar::<f64>()?;
        Ok(sum == 0.)
    }
}

impl<'a> From<&'a FeatureMap> for Value<'a> {
    fn from(maps: &'a FeatureMap) -> Self {
        Self::Maps(maps)
    }
}

impl<'a> From<&'a Tensor> for Value<'a> {
    fn from(vectors: &'a Tensor) -> Self {
        Self::Vectors(vectors)
    }
}

/// One layer's work in a forward pass.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Path of the layer, as `layer1.0.conv1`.
    pub path: &'a str,
    /// Kind of the layer, with its attributes.
    pub kind: LayerKind,
    /// What it read.
    pub inputs: &'a [Value<'a>],
    /// What it gave.
    pub output: Value<'a>,
}

/// Sees each layer of a forward pass, in order of execution.
///
/// ```
/// use std::cell::RefCell;
///
/// use candle_core::{DType, Device, Result, Tensor};
/// use cnn_layers::{
///     Context, Conv2dConfig, Event, FeatureMap, Layer, MaxPool2d, Mode, Observer, Sequential,
///     Store,
/// };
///
/// /// Notes what each layer gives.
/// #[derive(Default)]
/// struct Notes(RefCell<Vec<String>>);
///
/// impl Observer for Notes {
///     fn exit(&self, event: &Event<'_>) -> Result<()> {
///         self.0.borrow_mut().push(format!(
///             "{} {} {:?}",
///             event.path,
///             event.kind,
///             event.output.dims()
///         ));
///         Ok(())
///     }
/// }
///
/// let root = Store::new(0).builder(Mode::Eval);
/// let network = Sequential::new()
///     .add(Conv2dConfig::new(3, 8, 3).build(&root.pp("conv1"))?)
///     .add(MaxPool2d::new(2, 2).at(&root.pp("pool")));
/// let (images, notes) = (
///     Tensor::zeros((1, 3, 20, 28), DType::F32, &Device::Cpu)?,
///     Notes::default(),
/// );
/// network.forward(
///     &FeatureMap::from_nchw(&images)?,
///     &Context::eval().with_observer(&notes),
/// )?;
/// assert_eq!(
///     notes.0.into_inner(),
///     ["conv1 conv2d [1, 8, 18, 26]", "pool max_pool [1, 8, 9, 13]"]
/// );
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Observer {
    /// Called before a layer computes, for instance to start a clock.
    fn enter(&self, path: &str, kind: LayerKind) {
        let _ = (path, kind);
    }

    /// Called with what the layer read and gave.
    ///
    /// # Errors
    /// An error stops the forward pass.
    fn exit(&self, event: &Event<'_>) -> Result<()>;
}
