//! What the test files share: seeded numbers and the table of convolutions.

// Each test file uses a part of it.
#![allow(dead_code)]

pub(crate) mod formula;
pub(crate) mod goldens;
pub(crate) mod transposed;

use candle_core::{Device, Tensor};
use cnn_kernels::{Conv2dSpec, InstructionSet, Padding};

/// Those between which f32 kernels differ.
pub(crate) const FLOAT_SETS: [InstructionSet; 3] = [
    InstructionSet::Avx512,
    InstructionSet::Avx2,
    InstructionSet::Portable,
];

/// A seeded stream of numbers (SplitMix64).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        low + (high - low) * ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An f64 tensor, uniform in `[-1, 1)`.
    pub(crate) fn tensor(&mut self, shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values: Vec<f64> = (0..count).map(|_| self.uniform(-1., 1.)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }
}

/// One convolution: input `(N, C, H, W)`, weight `(C_out, C_in / groups, K_h, K_w)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvCase {
    pub(crate) name: &'static str,
    pub(crate) xs: [usize; 4],
    pub(crate) weight: [usize; 4],
    pub(crate) spec: Conv2dSpec,
    pub(crate) bias: bool,
}

impl ConvCase {
    /// Input `(N, C, H, W)`, weight and, if there is one, bias.
    pub(crate) fn tensors(&self, numbers: &mut Numbers) -> Vec<Tensor> {
        let mut tensors = vec![numbers.tensor(&self.xs), numbers.tensor(&self.weight)];
        if self.bias {
            tensors.push(numbers.tensor(&self.weight[..1]));
        }
        tensors
    }
}

fn case(name: &'static str, xs: [usize; 4], weight: [usize; 4]) -> ConvCase {
    ConvCase {
        name,
        xs,
        weight,
        spec: Conv2dSpec::default(),
        bias: false,
    }
}

impl ConvCase {
    fn stride(mut self, rows: usize, columns: usize) -> Self {
        self.spec.stride = [rows, columns];
        self
    }

    fn padding(mut self, padding: Padding) -> Self {
        self.spec.padding = padding;
        self
    }

    fn pad(self, rows: usize, columns: usize) -> Self {
        self.padding(Padding::symmetric(rows, columns))
    }

    fn pad_sides(self, [top, bottom, left, right]: [usize; 4]) -> Self {
        self.padding(Padding::Explicit {
            top,
            bottom,
            left,
            right,
        })
    }

    fn same(self) -> Self {
        self.padding(Padding::Same)
    }

    fn dilation(mut self, rows: usize, columns: usize) -> Self {
        self.spec.dilation = [rows, columns];
        self
    }

    fn groups(mut self, groups: usize) -> Self {
        self.spec.groups = groups;
        self
    }

    fn bias(mut self) -> Self {
        self.bias = true;
        self
    }
}

/// Small convolutions of every kind, for checks of each single element.
pub(crate) fn small_convolutions() -> Vec<ConvCase> {
    vec![
        case("1x1", [2, 3, 5, 4], [4, 3, 1, 1]),
        case("1x1 with bias", [2, 3, 4, 5], [4, 3, 1, 1]).bias(),
        case("1x1, padded", [1, 2, 3, 5], [3, 2, 1, 1])
            .pad(1, 2)
            .bias(),
        case("1x1, strides 2 and 3", [2, 3, 7, 8], [2, 3, 1, 1]).stride(2, 3),
        case(
            "1x1, strides beyond maps of one pixel",
            [5, 3, 1, 1],
            [4, 3, 1, 1],
        )
        .stride(2, 3),
        case("a stride beyond the only row", [2, 3, 1, 14], [8, 3, 1, 2]).stride(4, 4),
        case("3x3, valid", [1, 2, 5, 7], [3, 2, 3, 3]),
        case("3x3, padded", [2, 3, 5, 7], [4, 3, 3, 3])
            .pad(1, 1)
            .bias(),
        case("5x3", [1, 2, 6, 5], [3, 2, 5, 3]).pad(2, 1),
        case("1x7", [1, 2, 3, 8], [2, 2, 1, 7]).pad(0, 3),
        case("7x1", [1, 2, 8, 3], [2, 2, 7, 1]).pad(3, 0),
        case(
            "2x4, one column more to the left",
            [1, 2, 5, 6],
            [3, 2, 2, 4],
        )
        .pad_sides([1, 0, 2, 1]),
        case("3x4, all sides different", [1, 2, 4, 5], [2, 2, 3, 4])
            .pad_sides([0, 2, 3, 1])
            .bias(),
        case("windows that see only padding", [1, 2, 3, 4], [2, 2, 2, 2]).pad(3, 2),
        case("stride 2", [2, 2, 7, 8], [3, 2, 3, 3])
            .stride(2, 2)
            .pad(1, 1)
            .bias(),
        case("stride 2, rows left over", [1, 2, 6, 7], [3, 2, 3, 3]).stride(2, 2),
        case("stride 3", [1, 2, 9, 10], [2, 2, 3, 3])
            .stride(3, 3)
            .pad(1, 1),
        case("strides 2 and 1", [1, 2, 7, 5], [2, 2, 3, 3])
            .stride(2, 1)
            .pad(1, 1),
        case(
            "strides 1 and 3, columns left over",
            [1, 2, 5, 9],
            [2, 2, 2, 3],
        )
        .stride(1, 3),
        case("stride beyond the kernel", [1, 2, 8, 10], [2, 2, 2, 2])
            .stride(3, 4)
            .bias(),
        case("same, odd kernel", [1, 2, 5, 6], [2, 2, 3, 5]).same(),
        case("same, even kernel", [1, 2, 5, 6], [2, 2, 4, 2])
            .same()
            .bias(),
        case("same, stride 2", [1, 2, 8, 7], [2, 2, 3, 3])
            .same()
            .stride(2, 2),
        case("same, strides 3 and 2", [1, 2, 7, 9], [2, 2, 2, 5])
            .same()
            .stride(3, 2),
        case("same, stride beyond the kernel", [1, 2, 7, 8], [2, 2, 2, 1])
            .same()
            .stride(3, 3),
        case("same, dilated", [1, 2, 6, 7], [2, 2, 3, 2])
            .same()
            .dilation(2, 3),
        case("dilation 2", [1, 2, 7, 6], [2, 2, 3, 3])
            .dilation(2, 2)
            .pad(2, 1),
        case("dilation 3", [1, 2, 8, 7], [2, 2, 2, 3])
            .dilation(3, 3)
            .bias(),
        case(
            "dilations 3 and 2, strides 2 and 3",
            [1, 2, 9, 10],
            [2, 2, 3, 2],
        )
        .dilation(3, 2)
        .stride(2, 3)
        .pad(2, 1),
        case("2 groups", [2, 4, 5, 4], [6, 2, 3, 3])
            .groups(2)
            .pad(1, 1)
            .bias(),
        case("3 groups, 1x1", [2, 6, 4, 5], [3, 2, 1, 1])
            .groups(3)
            .bias(),
        case("3 groups, everything", [1, 6, 7, 8], [6, 2, 2, 3])
            .groups(3)
            .stride(2, 3)
            .dilation(2, 1)
            .pad_sides([1, 2, 0, 2])
            .bias(),
        case("depthwise", [2, 4, 5, 6], [4, 1, 3, 3])
            .groups(4)
            .pad(1, 1)
            .bias(),
        case("depthwise, stride 2, same", [1, 3, 6, 7], [3, 1, 3, 3])
            .groups(3)
            .stride(2, 2)
            .same(),
        case("depthwise, everything", [2, 3, 8, 9], [3, 1, 2, 3])
            .groups(3)
            .stride(3, 2)
            .dilation(2, 3)
            .pad_sides([2, 1, 0, 3]),
        case("depthwise, multiplier 2", [2, 3, 5, 4], [6, 1, 3, 3])
            .groups(3)
            .pad(1, 1)
            .stride(2, 1)
            .bias(),
        case("one channel", [2, 1, 4, 5], [1, 1, 3, 2]),
        case("kernel as large as the input", [2, 3, 4, 5], [4, 3, 4, 5]).bias(),
        case(
            "kernel as large as the padded input",
            [1, 2, 3, 4],
            [2, 2, 5, 6],
        )
        .pad(1, 1),
    ]
}

/// Convolutions that span several of the blocks the implementation works in, most sizes prime.
pub(crate) fn large_convolutions() -> Vec<ConvCase> {
    vec![
        case("3x3", [3, 37, 23, 19], [29, 37, 3, 3])
            .pad(1, 1)
            .bias(),
        case("1x1", [2, 131, 29, 31], [67, 131, 1, 1]).bias(),
        case("5x3, stride 2", [2, 13, 31, 37], [11, 13, 5, 3])
            .stride(2, 2)
            .same(),
        case("7x7, stride 2", [2, 3, 61, 67], [17, 3, 7, 7])
            .stride(2, 2)
            .pad(3, 3),
        case("3 groups", [2, 33, 17, 23], [39, 11, 3, 3])
            .groups(3)
            .pad(1, 1)
            .dilation(2, 1)
            .bias(),
        case("depthwise", [3, 53, 19, 17], [53, 1, 5, 3])
            .groups(53)
            .pad(2, 1)
            .bias(),
        case("depthwise, multiplier 3", [2, 11, 19, 23], [33, 1, 3, 3])
            .groups(11)
            .stride(2, 3)
            .pad(1, 1),
    ]
}

/// Convolutions in the proportions of real networks, for the paths that small ones do not reach:
/// panels of one, two and three registers with and without a rest, depths of several chunks, pixels
/// 4 KiB apart, tiles across rows and images, tasks divided by channels.
pub(crate) fn network_convolutions() -> Vec<ConvCase> {
    vec![
        case("linear", [3, 300, 1, 1], [101, 300, 1, 1]).bias(),
        case("one image of one pixel", [1, 70, 1, 1], [37, 70, 1, 1]).bias(),
        case("1x1 of 1024 channels", [3, 1024, 4, 3], [18, 1024, 1, 1]),
        case("1x1 to 1024 channels", [1, 17, 7, 5], [1024, 17, 1, 1]).bias(),
        case(
            "1x1, stride 2, of 1024 channels",
            [2, 1024, 5, 7],
            [48, 1024, 1, 1],
        )
        .stride(2, 2),
        case("1x1, stride 2", [3, 64, 15, 14], [128, 64, 1, 1]).stride(2, 2),
        case("3x3, 16 channels", [3, 16, 32, 31], [16, 16, 3, 3]).pad(1, 1),
        case(
            "3x3, 16 to 33 channels, stride 2",
            [3, 16, 33, 32],
            [33, 16, 3, 3],
        )
        .pad(1, 1)
        .stride(2, 2)
        .bias(),
        case("3x3, 48 to 80 channels", [1, 48, 13, 11], [80, 48, 3, 3]).pad(1, 1),
        case("3x3 on 7x7", [3, 131, 7, 7], [67, 131, 3, 3]).pad(1, 1),
        case("3x3 without padding", [2, 35, 29, 31], [41, 35, 3, 3]).bias(),
        case("3x3 of 256 channels", [1, 256, 22, 19], [160, 256, 3, 3])
            .same()
            .bias(),
        case("3x3 padded by 2", [2, 64, 17, 23], [48, 64, 3, 3]).pad(2, 2),
        case("3x3 on 4x4", [1, 96, 4, 4], [100, 96, 3, 3])
            .pad(1, 1)
            .bias(),
        case("first layer, 3x3", [3, 3, 33, 29], [24, 3, 3, 3])
            .pad(1, 1)
            .stride(2, 2),
        case("first layer, 7x7", [1, 3, 65, 62], [64, 3, 7, 7])
            .pad(3, 3)
            .stride(2, 2),
        case("first layer of LeNet", [3, 1, 28, 27], [6, 1, 5, 5])
            .pad(2, 2)
            .bias(),
        case("second layer of LeNet", [3, 6, 14, 13], [16, 6, 5, 5]).bias(),
        case("1x7", [1, 33, 12, 17], [47, 33, 1, 7]).pad(0, 3),
        case("7x1", [3, 33, 17, 12], [31, 33, 7, 1])
            .pad(3, 0)
            .bias(),
        case("dilated", [1, 24, 19, 23], [32, 24, 3, 3])
            .pad(2, 3)
            .dilation(2, 3),
        case("dilated by 2", [1, 64, 33, 31], [48, 64, 3, 3])
            .pad(2, 2)
            .dilation(2, 2),
        case("dilated by 12", [2, 40, 33, 35], [72, 40, 3, 3])
            .pad(12, 12)
            .dilation(12, 12)
            .bias(),
        case(
            "dilated by 36, beyond the map",
            [1, 32, 33, 34],
            [64, 32, 3, 3],
        )
        .pad(36, 36)
        .dilation(36, 36),
        case(
            "dilated, of 1024 channels",
            [2, 1024, 9, 7],
            [36, 1024, 3, 3],
        )
        .pad(3, 3)
        .dilation(3, 3),
        case("dilated, with stride 2", [2, 24, 20, 23], [19, 24, 3, 3])
            .stride(2, 2)
            .pad(3, 3)
            .dilation(3, 3)
            .bias(),
        case("dilated along the rows", [1, 20, 19, 17], [33, 20, 3, 3])
            .pad(4, 1)
            .dilation(4, 1),
        case("dilated, 2 groups", [2, 24, 15, 14], [36, 12, 3, 3])
            .groups(2)
            .pad(4, 4)
            .dilation(4, 4)
            .bias(),
        case("dilated, valid", [1, 21, 19, 17], [32, 21, 3, 3])
            .dilation(3, 5)
            .bias(),
        case("dilated, 3 channels", [2, 3, 17, 19], [5, 3, 3, 3])
            .pad(2, 2)
            .dilation(2, 2),
        case(
            "dilated, outputs that see only padding",
            [2, 8, 5, 6],
            [18, 8, 3, 3],
        )
        .pad(9, 8)
        .dilation(3, 3)
        .bias(),
        case("dilated, 5x5", [1, 18, 21, 19], [34, 18, 5, 5])
            .pad(4, 4)
            .dilation(2, 2),
        case("depthwise, 5x5 dilated", [2, 40, 13, 17], [40, 1, 5, 5])
            .groups(40)
            .pad(4, 4)
            .dilation(2, 2)
            .bias(),
        case("depthwise, dilated by 12", [1, 33, 33, 29], [33, 1, 3, 3])
            .groups(33)
            .pad(12, 12)
            .dilation(12, 12),
        case(
            "depthwise, dilated beyond the map",
            [1, 17, 9, 8],
            [17, 1, 3, 3],
        )
        .groups(17)
        .pad(10, 10)
        .dilation(10, 10),
        case("4 groups", [3, 64, 9, 11], [128, 16, 3, 3])
            .groups(4)
            .pad(1, 1)
            .bias(),
        case("8 groups, stride 2", [1, 32, 14, 15], [32, 4, 3, 3])
            .groups(8)
            .pad(1, 1)
            .stride(2, 2),
        case("depthwise, 3x3 on 7x7", [3, 70, 7, 7], [70, 1, 3, 3])
            .groups(70)
            .pad(1, 1)
            .bias(),
        case(
            "depthwise, 3x3 of blocks of channels",
            [2, 401, 5, 16],
            [401, 1, 3, 3],
        )
        .groups(401)
        .pad(1, 1),
        case("depthwise, 3x3, valid", [2, 33, 9, 11], [33, 1, 3, 3])
            .groups(33)
            .bias(),
        case("depthwise, 3x3 on one row", [3, 17, 1, 29], [17, 1, 3, 3])
            .groups(17)
            .pad(1, 1),
        case(
            "depthwise, 3x3 on one column",
            [3, 32, 23, 1],
            [32, 1, 3, 3],
        )
        .groups(32)
        .pad(1, 1),
        case(
            "depthwise, 3x3 wider than the map",
            [1, 16, 2, 2],
            [16, 1, 3, 3],
        )
        .groups(16)
        .pad(2, 2),
        case(
            "depthwise, 3x3, more padding than columns",
            [1, 16, 5, 3],
            [16, 1, 3, 3],
        )
        .groups(16)
        .pad(3, 4),
        case(
            "depthwise, 3x3 in wide rows",
            [1, 16, 4, 301],
            [16, 1, 3, 3],
        )
        .groups(16)
        .pad(1, 1),
        case(
            "depthwise, 3x3/2 of an odd map",
            [2, 48, 15, 29],
            [48, 1, 3, 3],
        )
        .groups(48)
        .pad(1, 1)
        .stride(2, 2),
        case(
            "depthwise, 3x3/2 of an even map",
            [2, 35, 14, 30],
            [35, 1, 3, 3],
        )
        .groups(35)
        .pad(1, 1)
        .stride(2, 2)
        .bias(),
        case(
            "depthwise, 3x3/2, columns left over",
            [1, 24, 8, 18],
            [24, 1, 3, 3],
        )
        .groups(24)
        .stride(2, 2),
        case("depthwise, 3x3/2, one side", [2, 20, 9, 12], [20, 1, 3, 3])
            .groups(20)
            .stride(2, 2)
            .pad_sides([0, 1, 0, 1]),
        case("depthwise, strides 2 and 1", [1, 19, 12, 9], [19, 1, 3, 3])
            .groups(19)
            .stride(2, 1)
            .pad(1, 1),
        case("depthwise, 3x1", [2, 18, 7, 10], [18, 1, 3, 1])
            .groups(18)
            .pad(1, 0),
        case("depthwise, 2x2", [1, 18, 7, 10], [18, 1, 2, 2])
            .groups(18)
            .pad(1, 1),
        case(
            "depthwise, 3x3 of a map beyond the caches",
            [1, 17, 353, 351],
            [17, 1, 3, 3],
        )
        .groups(17)
        .pad(1, 1),
        case(
            "depthwise, 3x3/2 of a map beyond the caches",
            [1, 17, 353, 351],
            [17, 1, 3, 3],
        )
        .groups(17)
        .pad(1, 1)
        .stride(2, 2),
        case("depthwise, 5x5", [2, 33, 9, 14], [33, 1, 5, 5])
            .groups(33)
            .pad(2, 2)
            .bias(),
        case("depthwise, 5x5 on 7x7", [3, 70, 7, 7], [70, 1, 5, 5])
            .groups(70)
            .pad(2, 2),
        case(
            "depthwise, 5x5 wider than the map",
            [2, 16, 2, 3],
            [16, 1, 5, 5],
        )
        .groups(16)
        .pad(2, 2),
        case(
            "depthwise, 5x5/2 of an odd map",
            [2, 48, 15, 29],
            [48, 1, 5, 5],
        )
        .groups(48)
        .pad(2, 2)
        .stride(2, 2),
        case(
            "depthwise, 5x5/2 of an even map",
            [2, 35, 14, 30],
            [35, 1, 5, 5],
        )
        .groups(35)
        .pad(2, 2)
        .stride(2, 2)
        .bias(),
        case(
            "depthwise, 5x5/2, two sides",
            [2, 20, 10, 12],
            [20, 1, 5, 5],
        )
        .groups(20)
        .stride(2, 2)
        .pad_sides([1, 2, 1, 2]),
        case("depthwise, 7x7", [2, 33, 14, 19], [33, 1, 7, 7])
            .groups(33)
            .pad(3, 3)
            .bias(),
        case("depthwise, 7x7 on 7x7", [3, 40, 7, 7], [40, 1, 7, 7])
            .groups(40)
            .pad(3, 3),
        case(
            "depthwise, 7x7 wider than the map",
            [1, 16, 3, 2],
            [16, 1, 7, 7],
        )
        .groups(16)
        .pad(3, 3),
        case(
            "depthwise, 7x7 with more padding",
            [1, 16, 6, 5],
            [16, 1, 7, 7],
        )
        .groups(16)
        .pad(5, 4),
        case("depthwise, 7x7/2", [2, 24, 13, 16], [24, 1, 7, 7])
            .groups(24)
            .pad(3, 3)
            .stride(2, 2),
        case("depthwise, 4x6", [1, 18, 11, 13], [18, 1, 4, 6])
            .groups(18)
            .pad(2, 3),
        case("depthwise, 4x4", [1, 18, 11, 13], [18, 1, 4, 4])
            .groups(18)
            .pad(2, 2),
        case("one channel to one", [3, 1, 41, 37], [1, 1, 3, 3]).pad(1, 1),
    ]
}

/// Runs the tests of this program again for each of the instruction sets that the processor has,
/// all but `this` test.
pub(crate) fn run_again_with(sets: &[InstructionSet], this: &str) {
    for set in sets {
        if !set.is_supported() {
            println!("{} is not supported here, skipped", set.name());
            continue;
        }
        let program = std::env::current_exe().unwrap();
        let output = std::process::Command::new(program)
            .args(["--skip", this])
            .env("CNN_ISA", set.name())
            .output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && !said.contains("running 0 tests"),
            "with {}: {said}",
            set.name()
        );
    }
}
