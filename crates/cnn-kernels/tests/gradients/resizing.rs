//! Resizing.

use cnn_kernels::{FeatureMap, Interpolation, ResizeTo, resize};

use crate::common::Numbers;
use crate::{check, nchw};

const INTERPOLATIONS: [Interpolation; 3] = [
    Interpolation::Nearest,
    Interpolation::Bilinear {
        align_corners: false,
    },
    Interpolation::Bilinear {
        align_corners: true,
    },
];

/// Maps `(N, H, W, C)` and what becomes of them: up, down, mixed, alike, from and to one pixel.
const CASES: [([usize; 4], ResizeTo); 15] = [
    ([2, 5, 7, 3], ResizeTo::Size([10, 21])),
    ([2, 5, 7, 3], ResizeTo::Size([7, 9])),
    ([2, 5, 7, 3], ResizeTo::Size([5, 7])),
    ([2, 5, 7, 3], ResizeTo::Size([3, 2])),
    ([2, 5, 7, 3], ResizeTo::Size([2, 11])),
    ([2, 5, 7, 3], ResizeTo::Size([1, 1])),
    ([2, 5, 7, 3], ResizeTo::Size([5, 13])),
    ([1, 9, 4, 1], ResizeTo::Size([17, 33])),
    ([1, 4, 3, 2], ResizeTo::Size([8, 24])),
    ([1, 3, 4, 11], ResizeTo::Size([7, 9])),
    ([1, 2, 3, 21], ResizeTo::Size([5, 8])),
    ([1, 2, 3, 64], ResizeTo::Size([4, 5])),
    ([3, 1, 1, 5], ResizeTo::Size([4, 3])),
    ([2, 3, 5, 2], ResizeTo::Factor([1.7, 2.5])),
    ([2, 7, 5, 2], ResizeTo::Factor([0.4, 1.3])),
];

#[test]
fn resizing() {
    for interpolation in INTERPOLATIONS {
        for (seed, (shape, to)) in CASES.into_iter().enumerate() {
            let xs = [Numbers::new(seed as u64).tensor(&shape)];
            check(
                &format!("{interpolation:?} of {shape:?}, {to:?}"),
                &xs,
                |xs| nchw(resize(&FeatureMap::from_nhwc(&xs[0])?, to, interpolation)),
            );
        }
    }
}
