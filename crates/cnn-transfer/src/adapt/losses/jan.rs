//! The joint maximum mean discrepancy of several layers, the loss of joint adaptation networks (Long
//! et al. 2017, <https://arxiv.org/abs/1605.06636>).

use candle_core::Tensor;

use super::gaussian_kernel::{GaussianKernel, kernel_sum};
use super::mmd::MmdEstimate;
use crate::Error;
use crate::adapt::Domains;

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
        let mut product: Option<Tensor> = None;
        for (layer, kernels) in layers.iter().zip(&self.kernels) {
            let others = layer.sizes(2)?;
            if [others.source, others.target] != [sizes.source, sizes.target] {
                return Err(Error::argument(
                    "layers",
                    format!("{} and {} samples", others.source, others.target),
                    format!(
                        "{} and {}, as the first layer has",
                        sizes.source, sizes.target
                    ),
                ));
            }
            let values = kernel_sum(kernels, &layer.joined()?)?;
            product = Some(match product {
                Some(product) => (product * values)?,
                None => values,
            });
        }
        let product = product.ok_or_else(|| Error::argument("layers", 0, "at least 1"))?;
        self.estimate.of(&product, sizes)
    }
}
