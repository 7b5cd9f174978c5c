//! The table of transposed convolutions.

use candle_core::Tensor;
use cnn_kernels::ConvTranspose2dSpec;

use super::Numbers;

/// One transposed convolution: input `(N, C, H, W)`, weight `(C, C_out / groups, K_h, K_w)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransposedCase {
    pub(crate) name: &'static str,
    pub(crate) xs: [usize; 4],
    pub(crate) weight: [usize; 4],
    pub(crate) spec: ConvTranspose2dSpec,
}

impl TransposedCase {
    fn new(name: &'static str, xs: [usize; 4], weight: [usize; 4]) -> Self {
        Self {
            name,
            xs,
            weight,
            spec: ConvTranspose2dSpec::default(),
        }
    }

    fn stride(mut self, rows: usize, columns: usize) -> Self {
        self.spec.stride = [rows, columns];
        self
    }

    fn pad(mut self, rows: usize, columns: usize) -> Self {
        self.spec.padding = [rows, columns];
        self
    }

    fn output_pad(mut self, rows: usize, columns: usize) -> Self {
        self.spec.output_padding = [rows, columns];
        self
    }

    fn dilation(mut self, rows: usize, columns: usize) -> Self {
        self.spec.dilation = [rows, columns];
        self
    }

    fn groups(mut self, groups: usize) -> Self {
        self.spec.groups = groups;
        self
    }

    /// Input, weight and bias.
    pub(crate) fn tensors(&self, numbers: &mut Numbers) -> Vec<Tensor> {
        let outputs = self.weight[1] * self.spec.groups;
        vec![
            numbers.tensor(&self.xs),
            numbers.tensor(&self.weight),
            numbers.tensor(&[outputs]),
        ]
    }
}

/// Small transposed convolutions of every kind.
pub(crate) fn small_transposed() -> Vec<TransposedCase> {
    let case = TransposedCase::new;
    vec![
        case("1x1", [2, 3, 4, 5], [3, 4, 1, 1]),
        case("2x2/2", [2, 3, 3, 4], [3, 5, 2, 2]).stride(2, 2),
        case("4x4/2", [1, 2, 4, 3], [2, 3, 4, 4])
            .stride(2, 2)
            .pad(1, 1),
        case("3x3/2 of an odd map", [1, 2, 3, 5], [2, 2, 3, 3])
            .stride(2, 2)
            .pad(1, 1)
            .output_pad(1, 0),
        case("strides 3 and 1", [1, 2, 3, 4], [2, 3, 2, 3])
            .stride(3, 1)
            .pad(0, 1)
            .output_pad(2, 0),
        case("gaps between what pixels give", [1, 2, 3, 2], [2, 3, 1, 2]).stride(2, 4),
        case("dilated", [1, 2, 3, 4], [2, 2, 3, 2])
            .stride(2, 1)
            .pad(2, 1)
            .dilation(2, 3),
        case("cut to one pixel", [1, 3, 3, 3], [3, 2, 1, 1]).pad(1, 1),
        case("one pixel", [2, 3, 1, 1], [3, 2, 3, 4]),
        case("2 groups", [1, 4, 3, 4], [4, 3, 3, 3])
            .stride(2, 2)
            .pad(1, 0)
            .groups(2),
        case("depthwise", [2, 5, 3, 4], [5, 1, 4, 4])
            .stride(2, 2)
            .pad(1, 1)
            .groups(5),
        case("depthwise with gaps", [1, 3, 3, 4], [3, 1, 2, 1])
            .stride(3, 2)
            .groups(3),
    ]
}

/// Transposed convolutions in the proportions of decoders.
pub(crate) fn decoder_transposed() -> Vec<TransposedCase> {
    let case = TransposedCase::new;
    vec![
        case("2x2/2 of many channels", [2, 128, 19, 17], [128, 72, 2, 2]).stride(2, 2),
        case("2x2/2 of 1024 channels", [1, 1024, 5, 7], [1024, 40, 2, 2]).stride(2, 2),
        case("4x4/2 of many channels", [2, 48, 14, 13], [48, 65, 4, 4])
            .stride(2, 2)
            .pad(1, 1),
        case("3x3, stride 1", [1, 64, 21, 23], [64, 48, 3, 3]).pad(1, 1),
        case("3x3/2, output padding", [1, 33, 12, 15], [33, 21, 3, 3])
            .stride(2, 2)
            .pad(1, 1)
            .output_pad(1, 1),
        case("16x16/8 of classes", [1, 21, 9, 8], [21, 21, 16, 16])
            .stride(8, 8)
            .pad(4, 4),
        case("dilated by 6", [1, 24, 17, 15], [24, 36, 3, 3])
            .pad(6, 6)
            .dilation(6, 6),
        case("depthwise, 4x4/2", [2, 35, 11, 14], [35, 1, 4, 4])
            .stride(2, 2)
            .pad(1, 1)
            .groups(35),
    ]
}
