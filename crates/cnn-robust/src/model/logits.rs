//! Class scores on the side of the attack.

use candle_core::{DType, Device, Tensor};

use crate::Error;

/// The class scores of a batch, `(N, K)`, in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    classes: usize,
    values: Vec<f64>,
}

impl Logits {
    /// From a tensor `(N, K)`.
    ///
    /// # Errors
    /// If it has another rank.
    pub fn from_tensor(logits: &Tensor) -> Result<Self, Error> {
        let (_, classes) = logits.dims2()?;
        let values = logits.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Ok(Self { classes, values })
    }

    /// Zeros of the same shape.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self {
            values: vec![0.; self.values.len()],
            ..*self
        }
    }

    /// A tensor `(N, K)`.
    ///
    /// # Errors
    /// If there is no such element type.
    pub fn to_tensor(&self, dtype: DType) -> Result<Tensor, Error> {
        let shape = (self.len(), self.classes);
        Ok(Tensor::from_slice(&self.values, shape, &Device::Cpu)?.to_dtype(dtype)?)
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.values.len() / self.classes.max(1)
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The scores of each image.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.classes.max(1))
    }

    /// The scores of one image.
    pub fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.classes..][..self.classes]
    }

    /// The scores of one image, to be changed.
    pub fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.values[index * self.classes..][..self.classes]
    }

    /// The scores of the images of these places.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let rows = indices.iter().flat_map(|&index| self.row(index));
        Self {
            classes: self.classes,
            values: rows.copied().collect(),
        }
    }

    /// The softmax of the scores of one image.
    pub fn probabilities(&self, index: usize) -> Vec<f64> {
        let row = self.row(index);
        let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = row.iter().map(|score| (score - highest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }

    /// The class of each image: that of the highest score, of equal ones the first.
    pub fn predictions(&self) -> Vec<u32> {
        self.rows().map(highest).collect()
    }
}

/// The class of the highest score, of equal ones the first.
pub(crate) fn highest(row: &[f64]) -> u32 {
    let best = |best: usize, class: usize| if row[class] > row[best] { class } else { best };
    (0..row.len()).fold(0, best) as u32
}
