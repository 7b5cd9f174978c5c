//! Boxes as shifts and scales of anchors (Girshick et al. 2014, <https://arxiv.org/abs/1311.2524>,
//! appendix C).

use candle_core::{Result, Tensor};

use super::operation::{self, Decode};
use crate::detection::BoxEdges;

/// Boxes as shifts and scales of anchors, as torchvision's `BoxCoder`.
///
/// For an anchor with the centre `(xₐ, yₐ)` and the size `(wₐ, hₐ)` a box is
/// `[w₀ (x − xₐ) / wₐ, w₁ (y − yₐ) / hₐ, w₂ ln(w / wₐ), w₃ ln(h / hₐ)]`. A decoded logarithm is at
/// most `ln(1000 / 16)`, so that a box is never more than 62.5 times as large as its anchor.
///
/// ```
/// use cnn_layers::detection::BoxCoder;
///
/// let coder = BoxCoder::default();
/// let anchor = [0., 0., 10., 20.];
/// let code = coder.encode(&[5., 0., 15., 20.], &anchor);
/// assert_eq!(code, [0.5, 0., 0., 0.]);
/// assert_eq!(coder.decode(&code, &anchor), [5., 0., 15., 20.]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxCoder {
    /// Factors of the two shifts and the two logarithms; default 1 each, as for proposals.
    pub weights: [f64; 4],
    /// The largest logarithm that a code may have; default `ln(1000 / 16)`.
    pub largest_log: f64,
}

impl Default for BoxCoder {
    fn default() -> Self {
        Self {
            weights: [1.; 4],
            largest_log: (1000. / 16f64).ln(),
        }
    }
}

impl BoxCoder {
    /// With the weights of Fast R-CNN's heads and of SSD, 10, 10, 5, 5.
    pub fn of_heads() -> Self {
        Self {
            weights: [10., 10., 5., 5.],
            ..Self::default()
        }
    }

    /// The code of a box relative to an anchor. Where the anchor has no area, or the box none, it is
    /// not finite.
    pub fn encode(&self, edges: &BoxEdges, anchor: &BoxEdges) -> [f32; 4] {
        let of = Placed::new(edges.map(f64::from));
        let from = Placed::new(anchor.map(f64::from));
        let [x, y, width, height] = self.weights;
        let code = [
            x * (of.x - from.x) / from.width,
            y * (of.y - from.y) / from.height,
            width * (of.width / from.width).ln(),
            height * (of.height / from.height).ln(),
        ];
        code.map(|value| value as f32)
    }

    /// The box of a code relative to an anchor.
    pub fn decode(&self, code: &[f32; 4], anchor: &BoxEdges) -> BoxEdges {
        let edges = Decode::decode(self, code.map(f64::from), anchor.map(f64::from));
        edges.map(|edge| edge as f32)
    }

    /// [`decode`](Self::decode) of many codes, as one differentiable operation: a logarithm above
    /// the largest has no gradient.
    ///
    /// # Shapes
    /// Codes `(K, 4)` of f32 or f64 and `K` anchors to boxes `(K, 4)`.
    ///
    /// # Errors
    /// If the codes have another shape or element type, or the anchors are not as many.
    pub fn decode_tensor(&self, codes: &Tensor, anchors: &[BoxEdges]) -> Result<Tensor> {
        operation::decode(self, codes, anchors)
    }
}

/// A box by its centre and its size.
struct Placed {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Placed {
    fn new([x1, y1, x2, y2]: [f64; 4]) -> Self {
        let width = x2 - x1;
        let height = y2 - y1;
        Self {
            x: x1 + 0.5 * width,
            y: y1 + 0.5 * height,
            width,
            height,
        }
    }
}

impl Decode for BoxCoder {
    const NAME: &'static str = "decoding of boxes";

    fn decode(&self, code: [f64; 4], anchor: [f64; 4]) -> [f64; 4] {
        let from = Placed::new(anchor);
        let log = |column: usize| (code[column] / self.weights[column]).min(self.largest_log);
        let x = code[0] / self.weights[0] * from.width + from.x;
        let y = code[1] / self.weights[1] * from.height + from.y;
        let half_width = 0.5 * log(2).exp() * from.width;
        let half_height = 0.5 * log(3).exp() * from.height;
        [
            x - half_width,
            y - half_height,
            x + half_width,
            y + half_height,
        ]
    }

    fn backward(&self, code: [f64; 4], anchor: [f64; 4], grad: [f64; 4]) -> [f64; 4] {
        let from = Placed::new(anchor);
        let of_log = |column: usize, size: f64| {
            let log = code[column] / self.weights[column];
            if log > self.largest_log {
                0.
            } else {
                0.5 * log.exp() * size / self.weights[column]
            }
        };
        [
            (grad[0] + grad[2]) * from.width / self.weights[0],
            (grad[1] + grad[3]) * from.height / self.weights[1],
            (grad[2] - grad[0]) * of_log(2, from.width),
            (grad[3] - grad[1]) * of_log(3, from.height),
        ]
    }
}
