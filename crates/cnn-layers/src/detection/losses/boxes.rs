//! Losses of boxes by their overlap with what they should be.

use candle_core::{Result, Tensor};

use super::box_pair::{Pair, Term};
use super::operation::{RowLoss, check_targets, each, reduced, shape_fault};
use super::reduction::Reduction;
use crate::detection::BoxEdges;

/// What a predicted box loses against the one that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxLossKind {
    /// `1 − IoU`.
    Iou,
    /// `1 − IoU²`, the `iou` of YOLOX.
    SquaredIou,
    /// `1 − IoU + (C − U) / C` with the area `C` of the smallest box around both and that of their
    /// union `U` (Rezatofighi et al. 2019, <https://arxiv.org/abs/1902.09630>).
    Giou,
    /// `1 − IoU + d² / c²` with the distance `d` of the centres and the diagonal `c` of the smallest
    /// box around both (Zheng et al. 2020, <https://arxiv.org/abs/1911.08287>, equation 7).
    Diou,
    /// The same and `α v`, where `v = (4 / π²) (atan(w'/h') − atan(w/h))²` and
    /// `α = v / (1 − IoU + v)` is taken as a constant (ibidem, equation 10).
    Ciou,
}

/// How the rows of predicted boxes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BoxFormat {
    /// `[x1, y1, x2, y2]`.
    #[default]
    Edges,
    /// `[x, y, width, height]` with the centre first.
    CentreSize,
}

/// A loss of boxes by their overlap with what they should be, as torchvision's
/// `generalized_box_iou_loss`, `distance_box_iou_loss` and `complete_box_iou_loss` and YOLOX's
/// `IOUloss`.
///
/// Where two edges are equal, each gets half of a maximum's gradient, as in PyTorch. Boxes without a
/// common point have an IoU of 0 without a gradient, and so [`Iou`](BoxLossKind::Iou) and
/// [`SquaredIou`](BoxLossKind::SquaredIou) do not move them.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::detection::losses::{BoxLoss, BoxLossKind, Reduction};
///
/// let predictions = Tensor::new(&[[0f32, 0., 2., 2.], [0., 0., 2., 1.]], &Device::Cpu)?;
/// let targets = [[0., 0., 2., 2.]; 2];
/// let loss = BoxLoss::new(BoxLossKind::SquaredIou);
/// let sum = loss.loss(&predictions, &targets, &Reduction::sum())?;
/// assert_eq!(sum.to_scalar::<f32>()?, 0.75);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxLoss {
    /// What is lost.
    pub kind: BoxLossKind,
    /// How predictions are read; default edges.
    pub format: BoxFormat,
    /// What is added to denominators, so that boxes without area have a loss: by default 1e-7 as in
    /// torchvision, 1e-16 for [`BoxLossKind::SquaredIou`] as in YOLOX.
    pub eps: f64,
}

impl BoxLoss {
    /// A loss of edges with the usual `eps`.
    pub const fn new(kind: BoxLossKind) -> Self {
        let eps = match kind {
            BoxLossKind::SquaredIou => 1e-16,
            _ => 1e-7,
        };
        Self {
            kind,
            format: BoxFormat::Edges,
            eps,
        }
    }

    /// The same for predictions of another format.
    #[must_use]
    pub const fn with_format(self, format: BoxFormat) -> Self {
        Self { format, ..self }
    }

    /// The same with another number added to denominators; YOLOX's `giou` has 1e-16.
    #[must_use]
    pub const fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// The loss as a scalar of the predictions' element type; weights are one per box.
    ///
    /// # Shapes
    /// Predictions `(K, 4)`, also none, in the loss's format, and the edges of `K` targets.
    ///
    /// # Errors
    /// If the shapes, the element type or the reduction do not fit, or `eps` is not positive.
    pub fn loss(
        &self,
        predictions: &Tensor,
        targets: &[BoxEdges],
        reduction: &Reduction,
    ) -> Result<Tensor> {
        reduced(self.rows(predictions, targets)?, predictions, 1, reduction)
    }

    /// The loss of each box, without a graph, as for the cost of an assignment.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn each(&self, predictions: &Tensor, targets: &[BoxEdges]) -> Result<Vec<f64>> {
        each(&self.rows(predictions, targets)?, predictions)
    }

    fn rows(&self, predictions: &Tensor, targets: &[BoxEdges]) -> Result<Rows> {
        let &[boxes, 4] = predictions.dims() else {
            return Err(shape_fault(predictions, "shape (boxes, 4)").into());
        };
        check_targets(targets.len(), boxes, "box")?;
        crate::detection::check_positive("eps", self.eps)?;
        Ok(Rows {
            loss: *self,
            targets: targets.to_vec(),
        })
    }

    /// The loss of a box and its gradient by the edges.
    fn of(&self, predicted: [f64; 4], target: [f64; 4]) -> Term {
        let pair = Pair {
            predicted,
            target,
            eps: self.eps,
        };
        let areas = pair.areas();
        let iou = areas.iou(self.eps);
        match self.kind {
            BoxLossKind::Iou => iou.map(|iou| 1. - iou, |slope| -slope),
            BoxLossKind::SquaredIou => {
                let factor = -2. * iou.value;
                iou.map(|iou| 1. - iou * iou, |slope| factor * slope)
            }
            BoxLossKind::Giou => pair.giou_loss(&areas, iou),
            BoxLossKind::Diou => pair.diou_loss(iou),
            BoxLossKind::Ciou => {
                let turn = pair.turn();
                let alpha = turn.value / (1. - iou.value + turn.value + self.eps);
                let diou = pair.diou_loss(iou);
                diou.plus(turn.map(|v| alpha * v, |slope| alpha * slope))
            }
        }
    }
}

struct Rows {
    loss: BoxLoss,
    targets: Vec<BoxEdges>,
}

impl Rows {
    fn term(&self, index: usize, row: &[f64]) -> Term {
        let target = self.targets[index].map(f64::from);
        self.loss.of(self.edges(row), target)
    }

    fn edges(&self, row: &[f64]) -> [f64; 4] {
        let row = [row[0], row[1], row[2], row[3]];
        match self.loss.format {
            BoxFormat::Edges => row,
            BoxFormat::CentreSize => {
                let [x, y, width, height] = row;
                [
                    x - width / 2.,
                    y - height / 2.,
                    x + width / 2.,
                    y + height / 2.,
                ]
            }
        }
    }
}

impl RowLoss for Rows {
    const NAME: &'static str = "loss of boxes";

    fn width(&self) -> usize {
        4
    }

    fn value(&self, index: usize, row: &[f64]) -> f64 {
        self.term(index, row).value
    }

    fn gradient(&self, index: usize, row: &[f64], gradient: &mut [f64]) {
        let slope = self.term(index, row).slope;
        let slope = match self.loss.format {
            BoxFormat::Edges => slope,
            BoxFormat::CentreSize => {
                let [x1, y1, x2, y2] = slope;
                [x1 + x2, y1 + y2, (x2 - x1) / 2., (y2 - y1) / 2.]
            }
        };
        gradient.copy_from_slice(&slope);
    }
}
