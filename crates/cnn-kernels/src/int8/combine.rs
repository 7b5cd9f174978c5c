//! Maps of different scales brought together: sums, concatenation, channels times gates.

use crate::Activation;
use crate::error::{Checked, Error};
use crate::int8::map::{CHUNK, QuantizedMap, zeros};
use crate::int8::quantization::{Quantization, factor};
use crate::machine::integers::Requantize;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel::for_each_chunk;
use crate::machine::simd::Simd;

/// The sum of two maps of one shape: `f32(q − z) · f32(s / s_y)` of the first plus that of the
/// second, products and sum in f32, as a byte of `output`, rounded half to even. The activation is
/// [`Activation::Identity`], [`Activation::Relu`] or [`Activation::Relu6`].
///
/// # Errors
/// If the shapes differ, the scales are too far from each other, or the activation is another.
pub fn add(
    xs: [&QuantizedMap; 2],
    output: Quantization,
    activation: Activation,
) -> Result<QuantizedMap, Error> {
    const OP: &str = "quantized_add";
    let [first, second] = xs;
    if first.dims() != second.dims() {
        return Err(Error::Shape {
            op: OP,
            what: "the second map",
            found: second.dims().to_vec(),
            expected: format!("{:?} as the first", first.dims()),
        });
    }
    let to = output.requantize(OP, activation)?;
    let terms = [Term::of(OP, first, output)?, Term::of(OP, second, output)?];
    let mut values = zeros(first.values().len());
    for_each_chunk(&mut values, CHUNK, |start, ys| {
        let range = start..start + ys.len();
        vectorised(Add {
            xs: [first, second].map(|map| &map.values()[range.clone()]),
            terms,
            to,
            ys,
        });
    });
    Ok(QuantizedMap::wrap(first.dims(), values, output))
}

/// The same numbers as bytes of another quantisation: `f32(q − z) · f32(s / s_y)`, rounded half to
/// even. Bytes of the same quantisation stay as they are.
///
/// # Errors
/// If the scales are too far from each other.
pub fn requantize(xs: &QuantizedMap, output: Quantization) -> Result<QuantizedMap, Error> {
    concat(&[xs], output)
}

/// The channels of several maps one after another, each [requantised](requantize).
///
/// # Errors
/// If there is no map, batch, height and width differ, or the scales are too far from each other.
pub fn concat(maps: &[&QuantizedMap], output: Quantization) -> Result<QuantizedMap, Error> {
    const OP: &str = "quantized_concat";
    let Some(first) = maps.first() else {
        return Err(Error::Argument {
            op: OP,
            what: "the number of maps",
            found: "0".to_string(),
            expected: "at least 1".to_string(),
        });
    };
    let [batch, height, width, _] = first.dims();
    let other = |map: &&&QuantizedMap| map.dims()[..3] != first.dims()[..3];
    if let Some(other) = maps.iter().find(other) {
        return Err(Error::Shape {
            op: OP,
            what: "a map",
            found: other.dims().to_vec(),
            expected: format!("({batch}, {height}, {width}, channels) as the first"),
        });
    }
    let to = output.requantize(OP, Activation::Identity)?;
    let terms = maps.iter().map(|map| Term::of(OP, map, output));
    let terms = terms.collect::<Checked<Vec<_>>>()?;
    let channels: usize = maps.iter().map(|map| map.dims()[3]).sum();
    let dims = [batch, height, width, channels];
    let mut values = zeros(dims.iter().product());
    let pixels = (CHUNK / channels.max(1)).max(1);
    for_each_chunk(&mut values, pixels * channels, |start, ys| {
        let mut first = 0;
        for (map, &term) in maps.iter().zip(&terms) {
            let own = map.dims()[3];
            let start = start / channels * own;
            vectorised(Requantized {
                xs: &map.values()[start..start + ys.len() / channels * own],
                channels: own,
                term,
                to,
                same: map.quantization() == output,
                ys: Pixels {
                    values: &mut *ys,
                    step: channels,
                    first,
                },
            });
            first += own;
        }
    });
    Ok(QuantizedMap::wrap(dims, values, output))
}

/// Each channel of each image times a gate of its own, as squeeze-and-excitation has it:
/// `f32((q − z_x) · (g − z_g)) · f32(s_x · s_g / s_y)`, rounded half to even. The product of the
/// bytes is exact.
///
/// # Shapes
/// `(N, H, W, C)` and gates `(N, 1, 1, C)` to `(N, H, W, C)`.
///
/// # Errors
/// If the shapes do not fit, or the scales are too far from each other.
pub fn scale_channels(
    xs: &QuantizedMap,
    gates: &QuantizedMap,
    output: Quantization,
) -> Result<QuantizedMap, Error> {
    const OP: &str = "quantized_scale_channels";
    let [batch, height, width, channels] = xs.dims();
    if gates.dims() != [batch, 1, 1, channels] {
        return Err(Error::Shape {
            op: OP,
            what: "the gates",
            found: gates.dims().to_vec(),
            expected: format!("[{batch}, 1, 1, {channels}]"),
        });
    }
    let scales = [xs.quantization(), gates.quantization()].map(|map| f64::from(map.scale()));
    let factor = factor(OP, scales[0] * scales[1], f64::from(output.scale()))?;
    let to = output.requantize(OP, Activation::Identity)?;
    let mut values = zeros(xs.values().len());
    let row = width * channels;
    for_each_chunk(&mut values, row, |start, ys| {
        let image = start / row / height;
        vectorised(Scale {
            xs: &xs.values()[start..start + ys.len()],
            gates: &gates.values()[image * channels..][..channels],
            zero_points: [xs.quantization(), gates.quantization()]
                .map(|map| i32::from(map.zero_point())),
            factor,
            to,
            ys,
        });
    });
    Ok(QuantizedMap::wrap(xs.dims(), values, output))
}

/// What a byte of a map adds to a scaled sum.
#[derive(Debug, Clone, Copy)]
struct Term {
    zero_point: i32,
    factor: f32,
}

impl Term {
    fn of(op: &'static str, map: &QuantizedMap, output: Quantization) -> Checked<Self> {
        let quantization = map.quantization();
        let [scale, of_output] = [quantization.scale(), output.scale()].map(f64::from);
        Ok(Self {
            zero_point: i32::from(quantization.zero_point()),
            factor: factor(op, scale, of_output)?,
        })
    }

    #[inline(always)]
    fn scaled(self, q: u8) -> f32 {
        (i32::from(q) - self.zero_point) as f32 * self.factor
    }
}

struct Add<'a> {
    xs: [&'a [u8]; 2],
    terms: [Term; 2],
    to: Requantize,
    ys: &'a mut [u8],
}

impl Loop for Add<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { xs, terms, to, ys } = self;
        for ((y, &a), &b) in ys.iter_mut().zip(xs[0]).zip(xs[1]) {
            *y = to.byte(terms[0].scaled(a) + terms[1].scaled(b));
        }
    }
}

/// Some channels of each pixel.
struct Pixels<'a> {
    values: &'a mut [u8],
    step: usize,
    first: usize,
}

struct Requantized<'a> {
    xs: &'a [u8],
    channels: usize,
    term: Term,
    to: Requantize,
    /// Whether the bytes stay as they are.
    same: bool,
    ys: Pixels<'a>,
}

impl Loop for Requantized<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            xs,
            channels,
            term,
            to,
            same,
            ys,
        } = self;
        if channels == 0 {
            return;
        }
        let targets = ys.values.chunks_exact_mut(ys.step);
        for (xs, ys_of_pixel) in xs.chunks_exact(channels).zip(targets) {
            let target = &mut ys_of_pixel[ys.first..ys.first + channels];
            if same {
                target.copy_from_slice(xs);
                continue;
            }
            for (y, &x) in target.iter_mut().zip(xs) {
                *y = to.byte(term.scaled(x));
            }
        }
    }
}

struct Scale<'a> {
    xs: &'a [u8],
    gates: &'a [u8],
    /// Of the map and of the gates.
    zero_points: [i32; 2],
    factor: f32,
    to: Requantize,
    ys: &'a mut [u8],
}

impl Loop for Scale<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            xs,
            gates,
            zero_points,
            factor,
            to,
            ys,
        } = self;
        let channels = gates.len();
        for (xs, ys) in xs.chunks_exact(channels).zip(ys.chunks_exact_mut(channels)) {
            for ((y, &x), &gate) in ys.iter_mut().zip(xs).zip(gates) {
                let product = (i32::from(x) - zero_points[0]) * (i32::from(gate) - zero_points[1]);
                *y = to.byte(product as f32 * factor);
            }
        }
    }
}
