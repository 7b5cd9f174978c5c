//! Cross-entropy of classes that exclude each other, for some of the rows.

use candle_core::{Result, Tensor};

use super::operation::{RowLoss, check_targets, each, reduced, shape_fault};
use super::reduction::Reduction;
use super::targets::check_classes;

/// `−ln softmax(x)_k` of each row that has a class `k`, 0 of the others: PyTorch's `cross_entropy`
/// with an `ignore_index`. [`Reduction::mean`] is over the rows that have a class.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::detection::losses::{Reduction, SoftmaxCrossEntropy};
///
/// let logits = Tensor::new(&[[0f64, 0.], [5., 1.], [1e4, -1e4]], &Device::Cpu)?;
/// let classes = [Some(1), None, Some(0)];
/// let mean = SoftmaxCrossEntropy.loss(&logits, &classes, &Reduction::mean())?;
/// assert!((mean.to_scalar::<f64>()? - 2f64.ln() / 2.).abs() < 1e-15);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SoftmaxCrossEntropy;

impl SoftmaxCrossEntropy {
    /// The loss as a scalar of the logits' element type; weights are one per row.
    ///
    /// # Shapes
    /// Logits `(N, K)`, also of no rows, and `N` classes.
    ///
    /// # Errors
    /// If the shapes, the element type or the reduction do not fit, or a class is not below `K`.
    pub fn loss(
        &self,
        logits: &Tensor,
        classes: &[Option<u32>],
        reduction: &Reduction,
    ) -> Result<Tensor> {
        reduced(Rows::new(logits, classes)?, logits, 1, reduction)
    }

    /// The loss of each row, without a graph, as for the search of hard negatives.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn each(&self, logits: &Tensor, classes: &[Option<u32>]) -> Result<Vec<f64>> {
        each(&Rows::new(logits, classes)?, logits)
    }
}

struct Rows {
    classes: Vec<Option<u32>>,
    width: usize,
}

impl Rows {
    fn new(logits: &Tensor, classes: &[Option<u32>]) -> Result<Self> {
        let &[rows, width @ 1..=usize::MAX] = logits.dims() else {
            return Err(shape_fault(logits, "shape (rows, classes)").into());
        };
        check_targets(classes.len(), rows, "row")?;
        check_classes(classes, width)?;
        Ok(Self {
            classes: classes.to_vec(),
            width,
        })
    }
}

impl RowLoss for Rows {
    const NAME: &'static str = "softmax cross-entropy";

    fn width(&self) -> usize {
        self.width
    }

    fn value(&self, index: usize, row: &[f64]) -> f64 {
        match self.classes[index] {
            Some(class) => Exponentials::of(row).log_sum() - row[class as usize],
            None => 0.,
        }
    }

    fn gradient(&self, index: usize, row: &[f64], gradient: &mut [f64]) {
        let Some(class) = self.classes[index] else {
            gradient.fill(0.);
            return;
        };
        Exponentials::of(row).write_softmax(row, gradient);
        gradient[class as usize] -= 1.;
    }

    fn counted(&self, _rows: usize) -> usize {
        self.classes.iter().flatten().count()
    }
}

/// What is known of the exponentials of a row.
pub(super) struct Exponentials {
    largest: f64,
    /// Of `e^(x − largest)`.
    sum: f64,
}

impl Exponentials {
    pub(super) fn of(row: &[f64]) -> Self {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self {
            largest,
            sum: row.iter().map(|x| (x - largest).exp()).sum(),
        }
    }

    /// `ln Σ e^x`.
    pub(super) fn log_sum(&self) -> f64 {
        self.largest + self.sum.ln()
    }

    pub(super) fn write_softmax(&self, row: &[f64], to: &mut [f64]) {
        for (to, x) in to.iter_mut().zip(row) {
            *to = (x - self.largest).exp() / self.sum;
        }
    }
}
