//! Losses of boxes by their overlap with what they should be.

use std::f64::consts::PI;

use candle_core::{Result, Tensor};

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

/// A number and its gradient by the predicted edges.
#[derive(Debug, Clone, Copy)]
struct Term {
    value: f64,
    slope: [f64; 4],
}

impl Term {
    fn map(self, value: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64) -> Self {
        Self {
            value: value(self.value),
            slope: self.slope.map(slope),
        }
    }

    fn plus(self, other: Self) -> Self {
        self.combined(other, 1.)
    }

    fn minus(self, other: Self) -> Self {
        self.combined(other, -1.)
    }

    fn combined(self, other: Self, factor: f64) -> Self {
        Self {
            value: self.value + factor * other.value,
            slope: [0, 1, 2, 3].map(|edge| self.slope[edge] + factor * other.slope[edge]),
        }
    }

    /// The quotient, where the denominator is larger by a constant.
    fn over(self, denominator: Self, constant: f64) -> Self {
        let divisor = denominator.value + constant;
        let value = self.value / divisor;
        let slope = |edge: usize| (self.slope[edge] - value * denominator.slope[edge]) / divisor;
        Self {
            value,
            slope: [0, 1, 2, 3].map(slope),
        }
    }
}

/// The areas of what two boxes have in common and together.
struct Areas {
    common: Term,
    union: Term,
}

impl Areas {
    fn iou(&self, eps: f64) -> Term {
        self.common.over(self.union, eps)
    }
}

struct Pair {
    predicted: [f64; 4],
    target: [f64; 4],
    eps: f64,
}

impl Pair {
    fn areas(&self) -> Areas {
        let [x1, y1, x2, y2] = self.predicted;
        let inner = Corners::new(self, [Greater, Greater, Lesser, Lesser]);
        let common = if inner.width() > 0. && inner.height() > 0. {
            inner.area()
        } else {
            Term {
                value: 0.,
                slope: [0.; 4],
            }
        };
        let width = x2 - x1;
        let height = y2 - y1;
        let both = Term {
            value: width * height + area(self.target),
            slope: [-height, -width, height, width],
        };
        Areas {
            common,
            union: both.minus(common),
        }
    }

    /// The smallest box around both.
    fn hull(&self) -> Corners {
        Corners::new(self, [Lesser, Lesser, Greater, Greater])
    }

    fn giou_loss(&self, areas: &Areas, iou: Term) -> Term {
        let hull = self.hull().area();
        let uncovered = hull.minus(areas.union).over(hull, self.eps);
        let loss = iou.map(|iou| 1. - iou, |slope| -slope);
        loss.plus(uncovered)
    }

    fn diou_loss(&self, iou: Term) -> Term {
        let [x1, y1, x2, y2] = self.predicted;
        let [left, top, right, bottom] = self.target;
        let x = (x1 + x2 - left - right) / 2.;
        let y = (y1 + y2 - top - bottom) / 2.;
        let distance = Term {
            value: x * x + y * y,
            slope: [x, y, x, y],
        };
        let apart = distance.over(self.hull().squared_diagonal(), self.eps);
        let loss = iou.map(|iou| 1. - iou, |slope| -slope);
        loss.plus(apart)
    }

    /// `v`, how far the boxes' proportions differ.
    fn turn(&self) -> Term {
        let [x1, y1, x2, y2] = self.predicted;
        let [left, top, right, bottom] = self.target;
        let width = x2 - x1;
        let height = y2 - y1;
        let difference = angle(right - left, bottom - top) - angle(width, height);
        let diagonal = width * width + height * height;
        // A point has no proportions.
        let slope = if diagonal > 0. {
            -8. / PI.powi(2) * difference / diagonal
        } else {
            0.
        };
        Term {
            value: 4. / PI.powi(2) * difference * difference,
            slope: [
                -slope * height,
                slope * width,
                slope * height,
                -slope * width,
            ],
        }
    }
}

fn area([x1, y1, x2, y2]: [f64; 4]) -> f64 {
    (x2 - x1) * (y2 - y1)
}

/// `atan(width / height)`, 0 for a point.
fn angle(width: f64, height: f64) -> f64 {
    if width == 0. && height == 0. {
        0.
    } else {
        (width / height).atan()
    }
}

/// Which of two edges is taken.
#[derive(Clone, Copy)]
enum Choice {
    Greater,
    Lesser,
}
use Choice::{Greater, Lesser};

/// A box of which each edge is one of two boxes'.
struct Corners {
    edges: [f64; 4],
    /// How much of each edge is the predicted one: 1, 0, or a half where they are equal.
    shares: [f64; 4],
}

impl Corners {
    fn new(pair: &Pair, choices: [Choice; 4]) -> Self {
        let chosen = |edge: usize| {
            let predicted = pair.predicted[edge];
            let target = pair.target[edge];
            match choices[edge] {
                Greater => [predicted.max(target), share(predicted, target)],
                Lesser => [predicted.min(target), share(target, predicted)],
            }
        };
        let chosen = [0, 1, 2, 3].map(chosen);
        Self {
            edges: chosen.map(|[edge, _]| edge),
            shares: chosen.map(|[_, share]| share),
        }
    }

    fn width(&self) -> f64 {
        self.edges[2] - self.edges[0]
    }

    fn height(&self) -> f64 {
        self.edges[3] - self.edges[1]
    }

    fn area(&self) -> Term {
        let width = self.width();
        let height = self.height();
        Term {
            value: width * height,
            slope: self.shared([-height, -width, height, width]),
        }
    }

    fn squared_diagonal(&self) -> Term {
        let width = self.width();
        let height = self.height();
        Term {
            value: width * width + height * height,
            slope: self.shared([-2. * width, -2. * height, 2. * width, 2. * height]),
        }
    }

    /// A gradient by this box's edges as one by the predicted ones.
    fn shared(&self, slope: [f64; 4]) -> [f64; 4] {
        [0, 1, 2, 3].map(|edge| slope[edge] * self.shares[edge])
    }
}

/// How much of the greater number is the first one.
fn share(first: f64, other: f64) -> f64 {
    if first > other {
        1.
    } else if first == other {
        0.5
    } else {
        0.
    }
}
