//! The joint maximum mean discrepancy of several layers, the loss of joint adaptation networks (Long
//! et al. 2017, <https://arxiv.org/abs/1605.06636>).

use candle_core::Tensor;

use super::gaussian_kernel::{GaussianKernel, KernelSum};
use super::known_gradient::known_gradient;
use super::mmd::MmdEstimate;
use super::pairs::Pairs;
use crate::Error;
use crate::adapt::Domains;
use crate::adapt::domains::DomainSizes;

/// The [discrepancy](super::MultiKernelMmd) with the product of the layers' kernels,
/// `Π_l Σ_u k_lu(x_l, y_l)`: it compares how features and predictions occur together.
///
/// The default is that of the Transfer-Learning-Library: features with
/// [five widths](GaussianKernel::five_widths), and probabilities with σ 0.92. As there, the constant
/// `2 / (N − 1)` makes no difference to any gradient and is left out.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::{Domains, losses::JointMmd};
///
/// let features = Tensor::new(&[[0f32, 1.], [2., 3.], [1., 1.]], &Device::Cpu)?;
/// let probabilities = Tensor::new(&[[0.5f32, 0.5], [1., 0.], [0., 1.]], &Device::Cpu)?;
/// let same = |xs| Domains { source: xs, target: xs };
/// let near = JointMmd::default().loss(&[same(&features), same(&probabilities)])?;
/// let (far, others) = ((&features + 9.)?, probabilities.flip(&[1])?);
/// let far = JointMmd::default().loss(&[
///     Domains { source: &features, target: &far },
///     Domains { source: &probabilities, target: &others },
/// ])?;
/// assert!(far.to_scalar::<f32>()? > near.to_scalar::<f32>()?);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct JointMmd {
    /// The kernels of each layer, which are summed; at least one of each.
    pub kernels: Vec<Vec<GaussianKernel>>,
    /// Which pairs count. Default: all.
    pub estimate: MmdEstimate,
}

impl Default for JointMmd {
    fn default() -> Self {
        let probabilities = vec![GaussianKernel::Fixed { sigma: 0.92 }];
        Self {
            kernels: vec![GaussianKernel::five_widths(), probabilities],
            estimate: MmdEstimate::default(),
        }
    }
}

impl JointMmd {
    /// The squared discrepancy as a scalar.
    ///
    /// # Shapes
    /// Of each layer the source `(N, D_l)` and the target `(M, D_l)`, of both at least 2.
    ///
    /// # Errors
    /// If there are not as many layers as lists of kernels, a layer has another number of samples, or
    /// a kernel is out of its range.
    pub fn loss(&self, layers: &[Domains<'_>]) -> Result<Tensor, Error> {
        let (Some(first), true) = (layers.first(), layers.len() == self.kernels.len()) else {
            return Err(Error::argument(
                "layers",
                layers.len(),
                format!(
                    "{}, as kernels are given for, at least 1",
                    self.kernels.len()
                ),
            ));
        };
        let sizes = first.sizes(2)?;
        let coefficients = self.estimate.coefficients(sizes)?;
        let mut found: Vec<Layer<'_>> = Vec::new();
        for (layer, kernels) in layers.iter().zip(&self.kernels) {
            found.push(Layer::new(*layer, sizes, kernels)?);
        }
        // Of each pair its coefficient times the kernels of these layers.
        let product = |layers: &mut dyn Iterator<Item = &Layer<'_>>| {
            layers.fold(coefficients.clone(), |product, layer| {
                let values = product.iter().zip(&layer.kernels.values);
                values.map(|(product, value)| product * value).collect()
            })
        };
        let value = product(&mut found.iter()).iter().sum();
        let mut slopes = Vec::new();
        for (at, layer) in found.iter().enumerate() {
            let others = found.iter().enumerate().filter(|(other, _)| *other != at);
            let of_others = product(&mut others.map(|(_, layer)| layer));
            let by_distance = of_others.iter().zip(&layer.kernels.by_distance);
            let by_distance: Vec<f64> = by_distance
                .map(|(product, slope)| product * slope)
                .collect();
            slopes.extend(layer.pairs.slopes_of_distances(&by_distance)?);
        }
        Ok(known_gradient(value, slopes)?)
    }
}

/// One layer's pairs.
struct Layer<'a> {
    pairs: Pairs<'a>,
    kernels: KernelSum,
}

impl<'a> Layer<'a> {
    fn new(
        features: Domains<'a>,
        first: DomainSizes,
        kernels: &[GaussianKernel],
    ) -> Result<Self, Error> {
        let sizes = features.sizes(2)?;
        if [sizes.source, sizes.target] != [first.source, first.target] {
            return Err(Error::argument(
                "layers",
                format!("{} and {} samples", sizes.source, sizes.target),
                format!(
                    "{} and {}, as the first layer has",
                    first.source, first.target
                ),
            ));
        }
        let pairs = Pairs::around_the_mean(features, sizes)?;
        let kernels = KernelSum::of(kernels, &pairs.squared_distances()?)?;
        Ok(Self { pairs, kernels })
    }
}
