//! What the operations are, one output after the other.

use cnn_kernels::int8::{Quantization, QuantizedMap};
use cnn_kernels::{Activation, Conv2dSpec, Padding, Window};

use crate::common::Numbers;

/// A convolution with everything that it is made of.
pub(crate) struct Case {
    pub(crate) xs: QuantizedMap,
    pub(crate) dims: [usize; 4],
    pub(crate) weight: Vec<i8>,
    pub(crate) scales: Vec<f32>,
    pub(crate) bias: Vec<i32>,
    pub(crate) spec: Conv2dSpec,
    pub(crate) output: Quantization,
    pub(crate) activation: Activation,
}

/// A whole number from `low` to `high`.
pub(crate) fn whole(numbers: &mut Numbers, low: i64, high: i64) -> i64 {
    numbers.uniform(low as f64, high as f64 + 1.).floor() as i64
}

pub(crate) fn byte(numbers: &mut Numbers) -> u8 {
    whole(numbers, 0, 255) as u8
}

pub(crate) fn quantization(numbers: &mut Numbers) -> Quantization {
    let zero_point = match whole(numbers, 0, 3) {
        0 => 0,
        1 => 255,
        _ => byte(numbers),
    };
    Quantization::new(numbers.uniform(0.01, 0.1) as f32, zero_point).unwrap()
}

pub(crate) fn map(numbers: &mut Numbers, dims: [usize; 4]) -> QuantizedMap {
    let values = (0..dims.iter().product()).map(|_| byte(numbers)).collect();
    let quantization = quantization(numbers);
    QuantizedMap::new(dims, values, quantization).unwrap()
}

impl Case {
    /// Random bytes; the output's scale is such that most outputs are not at a bound.
    pub(crate) fn new(
        numbers: &mut Numbers,
        xs: [usize; 4],
        dims: [usize; 4],
        spec: Conv2dSpec,
    ) -> Self {
        let taps: usize = dims[1..].iter().product();
        let scale = numbers.uniform(0.5, 1.5) * 0.05 * 0.01 * 100. * (taps as f64).sqrt();
        let weight = (0..dims.iter().product::<usize>())
            .map(|_| whole(numbers, -127, 127) as i8)
            .collect();
        let scales = (0..dims[0])
            .map(|_| numbers.uniform(0.005, 0.015) as f32)
            .collect();
        let bias = (0..dims[0])
            .map(|_| whole(numbers, -20_000, 20_000) as i32)
            .collect();
        let activation = match whole(numbers, 0, 2) {
            0 => Activation::Identity,
            1 => Activation::Relu,
            _ => Activation::Relu6,
        };
        Self {
            xs: map(numbers, xs),
            dims,
            weight,
            scales,
            bias,
            spec,
            output: Quantization::new(scale as f32, byte(numbers)).unwrap(),
            activation,
        }
    }

    fn window(&self) -> Window {
        Window {
            kernel_size: [self.dims[2], self.dims[3]],
            stride: self.spec.stride,
            padding: self.spec.padding,
            dilation: self.spec.dilation,
            ceil_mode: false,
        }
    }

    /// `(N, H', W', C_out)`.
    pub(crate) fn output_dims(&self) -> [usize; 4] {
        let [batch, height, width, _] = self.xs.dims();
        let geometry = self.window().place("test", [height, width]).unwrap();
        let [rows, columns] = geometry.output();
        [batch, rows, columns, self.dims[0]]
    }

    /// All sums; the map is read as numbers of steps, and there is nothing around it.
    pub(crate) fn sums(&self) -> Vec<i64> {
        let [batch, rows, columns, c_out] = self.output_dims();
        let [_, height, width, c_in] = self.xs.dims();
        let geometry = self.window().place("test", [height, width]).unwrap();
        let zero_point = i64::from(self.xs.quantization().zero_point());
        let [_, group_in, kernel_rows, kernel_columns] = self.dims;
        let mut sums = Vec::new();
        for (n, y, x, o) in places([batch, rows, columns, c_out]) {
            let group = o / (c_out / self.spec.groups);
            let mut sum = i64::from(self.bias[o]);
            for (i, j) in pairs(kernel_rows, kernel_columns) {
                let row = (y * self.spec.stride[0] + i * self.spec.dilation[0]) as isize
                    - geometry.rows.before as isize;
                let column = (x * self.spec.stride[1] + j * self.spec.dilation[1]) as isize
                    - geometry.columns.before as isize;
                if !(0..height as isize).contains(&row) || !(0..width as isize).contains(&column) {
                    continue;
                }
                let pixel = (n * height + row as usize) * width + column as usize;
                for c in 0..group_in {
                    let q = self.xs.values()[pixel * c_in + group * group_in + c];
                    let w =
                        self.weight[((o * group_in + c) * kernel_rows + i) * kernel_columns + j];
                    sum += (i64::from(q) - zero_point) * i64::from(w);
                }
            }
            sums.push(sum);
        }
        sums
    }

    /// The bytes of sums.
    pub(crate) fn bytes(&self, sums: &[i64], residual: Option<&QuantizedMap>) -> Vec<u8> {
        let f64_scale = |scale: f32| f64::from(scale);
        let output = f64_scale(self.output.scale());
        let byte = |(index, &sum): (usize, &i64)| {
            let channel = index % self.dims[0];
            let input = f64_scale(self.xs.quantization().scale());
            let factor = (input * f64_scale(self.scales[channel]) / output) as f32;
            let mut steps = sum as f32 * factor;
            if let Some(residual) = residual {
                let quantization = residual.quantization();
                let own = i32::from(residual.values()[index]);
                let own = (own - i32::from(quantization.zero_point())) as f32;
                steps += own * (f64_scale(quantization.scale()) / output) as f32;
            }
            requantized(steps, self.output, self.activation)
        };
        sums.iter().enumerate().map(byte).collect()
    }
}

/// Steps from the zero point as a byte.
pub(crate) fn requantized(steps: f32, output: Quantization, activation: Activation) -> u8 {
    let zero_point = i64::from(output.zero_point());
    let byte = (steps.round_ties_even() as i64).saturating_add(zero_point);
    let six = ((6. / output.scale()).round_ties_even() as i64).saturating_add(zero_point);
    match activation {
        Activation::Identity => byte.clamp(0, 255) as u8,
        Activation::Relu => byte.clamp(zero_point, 255) as u8,
        Activation::Relu6 => byte.clamp(zero_point, six.min(255)) as u8,
        other => panic!("{other:?} has no bounds"),
    }
}

pub(crate) fn pairs(rows: usize, columns: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |i| (0..columns).map(move |j| (i, j)))
}

pub(crate) fn places(
    [batch, rows, columns, channels]: [usize; 4],
) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    pairs(batch, rows)
        .flat_map(move |(n, y)| pairs(columns, channels).map(move |(x, c)| (n, y, x, c)))
}

/// Padding of up to the kernel's extent, another on each side.
pub(crate) fn padding(numbers: &mut Numbers, most: usize) -> Padding {
    let mut side = || whole(numbers, 0, most as i64) as usize;
    match side() % 4 {
        0 => Padding::Valid,
        1 => Padding::Same,
        _ => Padding::Explicit {
            top: side(),
            bottom: side(),
            left: side(),
            right: side(),
        },
    }
}
