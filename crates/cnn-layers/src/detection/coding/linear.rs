//! Boxes as distances of their edges from a place (Tian et al. 2019,
//! <https://arxiv.org/abs/1904.01355>, equation 1).

use candle_core::{Result, Tensor};

use super::operation::{self, Decode};
use crate::detection::BoxEdges;

/// Boxes as the distances `[left, top, right, bottom]` of their edges from the centre of an anchor,
/// as torchvision's `BoxLinearCoder`.
///
/// ```
/// use cnn_layers::detection::BoxLinearCoder;
///
/// let anchor = [8., 8., 16., 16.];
/// let coder = BoxLinearCoder::default();
/// let code = coder.encode(&[4., 10., 20., 36.], &anchor);
/// assert_eq!(code, [1., 0.25, 1., 3.]);
/// assert_eq!(coder.decode(&code, &anchor), [4., 10., 20., 36.]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxLinearCoder {
    /// Whether distances are divided by the anchor's width or height; default yes, as FCOS does in
    /// torchvision, where anchors are squares of the feature map's stride.
    pub normalize_by_size: bool,
}

impl Default for BoxLinearCoder {
    fn default() -> Self {
        Self {
            normalize_by_size: true,
        }
    }
}

impl BoxLinearCoder {
    /// The code of a box relative to an anchor; one side is negative where the anchor's centre lies
    /// outside of the box.
    pub fn encode(&self, edges: &BoxEdges, anchor: &BoxEdges) -> [f32; 4] {
        let place = self.place(anchor.map(f64::from));
        let edges = edges.map(f64::from);
        let code = [
            (place.x - edges[0]) / place.width,
            (place.y - edges[1]) / place.height,
            (edges[2] - place.x) / place.width,
            (edges[3] - place.y) / place.height,
        ];
        code.map(|value| value as f32)
    }

    /// The box of a code relative to an anchor.
    pub fn decode(&self, code: &[f32; 4], anchor: &BoxEdges) -> BoxEdges {
        let edges = Decode::decode(self, code.map(f64::from), anchor.map(f64::from));
        edges.map(|edge| edge as f32)
    }

    /// [`decode`](Self::decode) of many codes, as one differentiable operation.
    ///
    /// # Shapes
    /// Codes `(K, 4)` of f32 or f64 and `K` anchors to boxes `(K, 4)`.
    ///
    /// # Errors
    /// If the codes have another shape or element type, or the anchors are not as many.
    pub fn decode_tensor(&self, codes: &Tensor, anchors: &[BoxEdges]) -> Result<Tensor> {
        operation::decode(self, codes, anchors)
    }

    fn place(&self, [x1, y1, x2, y2]: [f64; 4]) -> Place {
        let unit = |size: f64| if self.normalize_by_size { size } else { 1. };
        Place {
            x: 0.5 * (x1 + x2),
            y: 0.5 * (y1 + y2),
            width: unit(x2 - x1),
            height: unit(y2 - y1),
        }
    }
}

/// From where distances are measured, and in which units.
struct Place {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Decode for BoxLinearCoder {
    const NAME: &'static str = "decoding of distances";

    fn decode(&self, code: [f64; 4], anchor: [f64; 4]) -> [f64; 4] {
        let place = self.place(anchor);
        [
            place.x - code[0] * place.width,
            place.y - code[1] * place.height,
            place.x + code[2] * place.width,
            place.y + code[3] * place.height,
        ]
    }

    fn backward(&self, _code: [f64; 4], anchor: [f64; 4], grad: [f64; 4]) -> [f64; 4] {
        let place = self.place(anchor);
        [
            -grad[0] * place.width,
            -grad[1] * place.height,
            grad[2] * place.width,
            grad[3] * place.height,
        ]
    }
}
