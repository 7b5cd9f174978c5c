//! Activations of bytes: 256 answers.
#![allow(unsafe_code)]

use crate::Activation;
use crate::error::Error;
use crate::int8::map::{CHUNK, QuantizedMap, zeros};
use crate::int8::quantization::Quantization;
use crate::machine::parallel::for_each_chunk;
use crate::machine::register::{Double, Register};

/// What an activation makes of each byte: `f(s_x · (q − z_x)) / s_y` in f64, rounded half to even,
/// plus `z_y`, within 0 and 255.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationTable {
    input: Quantization,
    output: Quantization,
    bytes: [u8; 256],
}

impl ActivationTable {
    /// The table of an activation from bytes of one quantisation to those of another.
    pub fn new(activation: Activation, input: Quantization, output: Quantization) -> Self {
        Self::of(input, output, |x| {
            let mut y = 0.;
            // SAFETY: a register of one f64 runs everywhere, and `y` is one.
            unsafe {
                let x = Double::splat(x);
                activation.on_register::<f64, Double>(x).store(&raw mut y);
            }
            y
        })
    }

    /// The table of any function; NaN becomes the byte for 0.
    pub fn of(input: Quantization, output: Quantization, function: impl Fn(f64) -> f64) -> Self {
        let zero_points = [input, output].map(|map| f64::from(map.zero_point()));
        let scales = [input, output].map(|map| f64::from(map.scale()));
        let byte = |q: usize| {
            let steps = function(scales[0] * (q as f64 - zero_points[0])) / scales[1];
            let steps = if steps.is_nan() { 0. } else { steps };
            (steps.round_ties_even() + zero_points[1]).clamp(0., 255.) as u8
        };
        Self {
            input,
            output,
            bytes: std::array::from_fn(byte),
        }
    }

    /// The activation of every byte of a map.
    ///
    /// # Errors
    /// If the map's bytes do not stand for what was said.
    pub fn apply(&self, xs: &QuantizedMap) -> Result<QuantizedMap, Error> {
        if xs.quantization() != self.input {
            return Err(Error::Argument {
                op: "quantized_activation",
                what: "the input's quantisation",
                found: format!("{:?}", xs.quantization()),
                expected: format!("{:?}", self.input),
            });
        }
        let mut values = zeros(xs.values().len());
        for_each_chunk(&mut values, CHUNK, |start, ys| {
            let xs = &xs.values()[start..start + ys.len()];
            for (y, &x) in ys.iter_mut().zip(xs) {
                *y = self.bytes[usize::from(x)];
            }
        });
        Ok(QuantizedMap::wrap(xs.dims(), values, self.output))
    }

    /// What the bytes of the output stand for.
    pub fn output(&self) -> Quantization {
        self.output
    }
}
