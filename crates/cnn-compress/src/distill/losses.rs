//! Losses between what a student gives and what its teacher gives. Gradients reach the student
//! alone.

use candle_core::{D, Tensor};
use cnn_kernels::adaptive_avg_pool;
use cnn_layers::FeatureMap;
use cnn_train::{Error, log_softmax};

/// Keeps the length of a vector of zeros above 0.
const TINY: f64 = 1e-24;

/// Soft targets (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network",
/// arXiv:1503.02531): `T² · KL(softmax(teacher / T) ‖ softmax(student / T))`, averaged over the
/// batch. The factor `T²` keeps the gradients' size where the temperature changes.
///
/// # Shapes
/// `(N, K)` both, to a scalar.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_compress::soft_target_loss;
///
/// let logits = |values: [f32; 2]| Tensor::new(&[values], &Device::Cpu);
/// // Equal answers cost nothing, whatever is added to all logits.
/// let loss = soft_target_loss(&logits([3., 1.])?, &logits([2., 0.])?, 4.)?;
/// assert!(loss.to_scalar::<f32>()?.abs() < 1e-6);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the shapes differ.
pub fn soft_target_loss(
    student: &Tensor,
    teacher: &Tensor,
    temperature: f64,
) -> Result<Tensor, Error> {
    let log = log_softmax(&(student / temperature)?)?;
    let wanted = log_softmax(&(teacher.detach() / temperature)?)?;
    let images = wanted.dim(0)?.max(1) as f64;
    let divergences = (wanted.exp()? * (wanted - log)?)?;
    Ok((divergences.sum_all()? * (temperature * temperature / images))?)
}

/// Where both look (Zagoruyko and Komodakis 2017, "Paying More Attention to Attention",
/// arXiv:1612.03928): the mean squared difference of the attention maps, which are the sums of
/// squares over the channels as vectors of length 1. Numbers of channels may differ; the larger maps
/// are averaged to the size of the smaller ones.
///
/// # Shapes
/// `(N, H, W, C)` and `(N, H', W', C')`, to a scalar.
///
/// # Errors
/// If the numbers of images differ.
pub fn attention_loss(student: &FeatureMap, teacher: &FeatureMap) -> Result<Tensor, Error> {
    let rows = student.height().min(teacher.height());
    let columns = student.width().min(teacher.width());
    let attention = |maps: &FeatureMap| -> Result<Tensor, Error> {
        let maps = if [maps.height(), maps.width()] == [rows, columns] {
            maps.clone()
        } else {
            adaptive_avg_pool(maps, [rows, columns])?
        };
        let squares = maps.to_nhwc().sqr()?.mean(D::Minus1)?;
        unit_rows(&squares.flatten_from(1)?)
    };
    let apart = (attention(student)? - attention(&teacher.detach())?)?;
    Ok(apart.sqr()?.mean_all()?)
}

/// Which images are alike (Tung and Mori 2019, "Similarity-Preserving Knowledge Distillation",
/// arXiv:1907.09682, equation 4): the squared differences between the products of the images'
/// features with each other, whose rows have length 1, over `N²`. Neither channels nor sizes have
/// to be equal.
///
/// # Shapes
/// `(N, H, W, C)` and `(N, H', W', C')`, to a scalar.
///
/// # Errors
/// If the numbers of images differ.
pub fn similarity_loss(student: &FeatureMap, teacher: &FeatureMap) -> Result<Tensor, Error> {
    let similarities = |maps: &FeatureMap| -> Result<Tensor, Error> {
        let features = maps.to_nhwc().flatten_from(1)?;
        unit_rows(&features.matmul(&features.t()?.contiguous()?)?)
    };
    let apart = (similarities(student)? - similarities(&teacher.detach())?)?;
    let images = student.batch().max(1) as f64;
    Ok((apart.sqr()?.sum_all()? / (images * images))?)
}

/// The rows, each divided by its length.
fn unit_rows(rows: &Tensor) -> Result<Tensor, Error> {
    let lengths = (rows.sqr()?.sum_keepdim(1)? + TINY)?.sqrt()?;
    Ok(rows.broadcast_div(&lengths)?)
}
