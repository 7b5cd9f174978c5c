//! What a discriminator is shown of features and predictions together (Long et al. 2018, "CDAN",
//! <https://arxiv.org/abs/1705.10667>).

use candle_core::{D, Result as CandleResult, Tensor};
use cnn_core::Key;
use cnn_kernels::{Conv2dSpec, FeatureMap, concat, conv2d, scale_channels};
use cnn_train::log_softmax;

use super::entropy::entropies;
use crate::Error;
use crate::adapt::domains::rows;
use crate::adapt::vectors::pixels;

/// `g ⊗ f`: every feature times every class's probability, so that the discriminator sees which
/// features go with which class. The probabilities `g = softmax(logits)` have no gradient, as in the
/// paper's program.
///
/// Reverse the gradient of the features before the map: it is the same as behind it, and `K` times
/// less.
///
/// # Shapes
/// Features `(N, F)` and logits `(N, K)` to maps of one pixel, `(N, 1, 1, K · F)`, class by class,
/// which [`DomainDiscriminator::forward_map`](crate::adapt::DomainDiscriminator::forward_map) reads.
///
/// # Errors
/// If the shapes do not fit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::losses::multilinear_map;
///
/// let features = Tensor::new(&[[1f32, 2., 4.]], &Device::Cpu)?;
/// let logits = Tensor::new(&[[0f32, 0.]], &Device::Cpu)?;
/// let map = multilinear_map(&features, &logits)?;
/// assert_eq!(map.flatten()?.to_vec2::<f32>()?, [[0.5, 1., 2., 0.5, 1., 2.]]);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn multilinear_map(features: &Tensor, logits: &Tensor) -> Result<FeatureMap, Error> {
    let columns = rows("features", features, 1)?.columns;
    let classes = same_samples(features, logits)?;
    let features = pixels(features)?;
    let copies = concat(&vec![&features; classes])?;
    let factors = probabilities(logits)?.unsqueeze(2)?;
    let factors = factors.broadcast_as((copies.batch(), classes, columns))?;
    let factors = factors.reshape((copies.batch(), classes * columns))?;
    Ok(scale_channels(&copies, &pixels(&factors)?)?)
}

/// `(f · R_f) ⊙ (g · R_g) / √D`, with normal matrices `R` that are drawn once: in expectation the
/// inner products of [`multilinear_map`], in `D` numbers where `K · F` would be too many.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_core::Key;
/// use cnn_transfer::adapt::losses::RandomMultilinearMap;
///
/// let map = RandomMultilinearMap::new(256, 31, 1024, Key::new(0))?;
/// let features = Tensor::ones((2, 256), DType::F32, &Device::Cpu)?;
/// let logits = Tensor::zeros((2, 31), DType::F32, &Device::Cpu)?;
/// assert_eq!(map.forward(&features, &logits)?.dims(), [2, 1, 1, 1024]);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RandomMultilinearMap {
    /// `R_fᵀ`, `(D, F)`, as a linear layer has its weight.
    of_features: Tensor,
    /// `R_gᵀ`, `(D, K)`.
    of_classes: Tensor,
}

impl RandomMultilinearMap {
    /// A map from so many features and classes to so many numbers; the paper has 1,024. The matrices
    /// depend on the key and the sizes alone.
    ///
    /// # Errors
    /// If a size is 0.
    pub fn new(features: usize, classes: usize, outputs: usize, key: Key) -> Result<Self, Error> {
        for (name, size) in [
            ("features", features),
            ("classes", classes),
            ("outputs", outputs),
        ] {
            if size == 0 {
                return Err(Error::argument(name, size, "at least 1"));
            }
        }
        Ok(Self {
            of_features: normal([outputs, features], key.stream("features"))?,
            of_classes: normal([outputs, classes], key.stream("classes"))?,
        })
    }

    /// A map with given matrices, `(F, D)` and `(K, D)`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn from_matrices(of_features: &Tensor, of_classes: &Tensor) -> Result<Self, Error> {
        let outputs = rows("of_features", of_features, 1)?.columns;
        let found = rows("of_classes", of_classes, 1)?.columns;
        if found != outputs {
            return Err(Error::argument(
                "of_classes",
                format!("{found} columns"),
                format!("{outputs}, as the features have"),
            ));
        }
        Ok(Self {
            of_features: of_features.detach().t()?.contiguous()?,
            of_classes: of_classes.detach().t()?.contiguous()?,
        })
    }

    /// The map of a batch. The probabilities have no gradient.
    ///
    /// # Shapes
    /// Features `(N, F)` and logits `(N, K)` to maps of one pixel, `(N, 1, 1, D)`.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn forward(&self, features: &Tensor, logits: &Tensor) -> Result<FeatureMap, Error> {
        let found = [
            rows("features", features, 1)?.columns,
            same_samples(features, logits)?,
        ];
        let expected = [self.of_features.dim(1)?, self.of_classes.dim(1)?];
        if found != expected {
            let found = format!("{} features and {} classes", found[0], found[1]);
            let expected = format!("{} features and {} classes", expected[0], expected[1]);
            return Err(Error::argument("features and logits", found, expected));
        }
        let of_features = projected(features, &self.of_features)?;
        let outputs = self.of_features.dim(0)? as f64;
        let probabilities = probabilities(logits)?.affine(1. / outputs.sqrt(), 0.)?;
        let of_classes = projected(&probabilities, &self.of_classes)?;
        Ok(scale_channels(&of_features, &of_classes)?)
    }
}

/// `1 + e^(−H(softmax(logits)))`, scaled to a mean of 1: the samples that the network is sure of
/// count more (CDAN+E). Without a gradient.
///
/// The Transfer-Learning-Library takes source and target together, joined as
/// [`Domains::joined`](crate::adapt::Domains::joined) does, which these weights of a batch then
/// follow row by row.
///
/// # Shapes
/// Logits `(N, K)` to `(N, 1)`.
///
/// # Errors
/// If the logits are no matrix.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::losses::entropy_weights;
///
/// let logits = Tensor::new(&[[90f64, 0.], [0., 0.]], &Device::Cpu)?; // weights 2 and 1.5
/// let weights = entropy_weights(&logits)?.to_vec2::<f64>()?;
/// assert!((weights[0][0] - 2. / 1.75).abs() < 1e-12 && (weights[1][0] - 1.5 / 1.75).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn entropy_weights(logits: &Tensor) -> Result<Tensor, Error> {
    rows("logits", logits, 1)?;
    let weights = (entropies(&log_softmax(&logits.detach())?)?.neg()?.exp()? + 1.)?;
    Ok(weights.broadcast_div(&weights.mean_all()?)?.unsqueeze(1)?)
}

fn probabilities(logits: &Tensor) -> CandleResult<Tensor> {
    log_softmax(&logits.detach())?.exp()
}

/// The number of classes, where there are logits for each sample.
fn same_samples(features: &Tensor, logits: &Tensor) -> Result<usize, Error> {
    let sizes = rows("logits", logits, 1)?;
    let samples = features.dim(0)?;
    if sizes.rows == samples {
        return Ok(logits.dim(D::Minus1)?);
    }
    Err(Error::argument(
        "logits",
        format!("{} rows", sizes.rows),
        format!("{samples}, as there are features"),
    ))
}

/// `xs · matrixᵀ` for a constant matrix: a convolution over single pixels, which computes no gradient
/// of it.
fn projected(xs: &Tensor, matrix: &Tensor) -> CandleResult<FeatureMap> {
    let matrix = matrix.to_dtype(xs.dtype())?;
    conv2d(&pixels(xs)?, &matrix, None, &Conv2dSpec::default())
}

fn normal(shape: [usize; 2], key: Key) -> CandleResult<Tensor> {
    let mut rng = key.rng();
    let count = shape[0] * shape[1];
    let values: Vec<f32> = (0..count).map(|_| rng.normal() as f32).collect();
    Tensor::from_vec(values, &shape, &candle_core::Device::Cpu)
}
