//! What two boxes have in common, with gradients by the edges of the first.

use std::f64::consts::PI;

/// A number and its gradient by the predicted edges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) value: f64,
    pub(super) slope: [f64; 4],
}

impl Term {
    pub(super) fn map(self, value: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64) -> Self {
        Self {
            value: value(self.value),
            slope: self.slope.map(slope),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
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
pub(super) struct Areas {
    common: Term,
    union: Term,
}

impl Areas {
    pub(super) fn iou(&self, eps: f64) -> Term {
        self.common.over(self.union, eps)
    }
}

/// A predicted box, and the one that it should be.
pub(super) struct Pair {
    pub(super) predicted: [f64; 4],
    pub(super) target: [f64; 4],
    /// What is added to denominators.
    pub(super) eps: f64,
}

impl Pair {
    pub(super) fn areas(&self) -> Areas {
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

    pub(super) fn giou_loss(&self, areas: &Areas, iou: Term) -> Term {
        let hull = self.hull().area();
        let uncovered = hull.minus(areas.union).over(hull, self.eps);
        let loss = iou.map(|iou| 1. - iou, |slope| -slope);
        loss.plus(uncovered)
    }

    pub(super) fn diou_loss(&self, iou: Term) -> Term {
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
    pub(super) fn turn(&self) -> Term {
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
