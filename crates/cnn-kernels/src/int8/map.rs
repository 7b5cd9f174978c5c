//! Feature maps of bytes.

use std::fmt;

use crate::error::Error;
use crate::int8::quantization::Quantization;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel::for_each_chunk;
use crate::machine::recycle::{self, Buffer};
use crate::machine::simd::Simd;

/// Values that one task converts.
pub(crate) const CHUNK: usize = 1 << 15;

/// A channels-last map `(N, H, W, C)` of bytes that stand for numbers, all by one [`Quantization`].
#[derive(Clone)]
pub struct QuantizedMap {
    dims: [usize; 4],
    values: Buffer<u8>,
    quantization: Quantization,
}

impl QuantizedMap {
    /// Bytes with their shape `(N, H, W, C)` and what they stand for.
    ///
    /// # Errors
    /// If there are not as many bytes as the shape says.
    pub fn new(
        dims: [usize; 4],
        values: Vec<u8>,
        quantization: Quantization,
    ) -> Result<Self, Error> {
        check_len(dims, values.len())?;
        Ok(Self::wrap(dims, values, quantization))
    }

    /// The bytes for numbers in the order of `(N, H, W, C)`, see [`Quantization::quantize`].
    ///
    /// # Errors
    /// If there are not as many numbers as the shape says.
    pub fn quantize(
        dims: [usize; 4],
        values: &[f32],
        quantization: Quantization,
    ) -> Result<Self, Error> {
        check_len(dims, values.len())?;
        let mut bytes = zeros(values.len());
        for_each_chunk(&mut bytes, CHUNK, |first, to| {
            let from = &values[first..first + to.len()];
            vectorised(Quantize {
                from,
                to,
                quantization,
            });
        });
        Ok(Self::wrap(dims, bytes, quantization))
    }

    /// The numbers that the bytes stand for, see [`Quantization::dequantize`].
    pub fn dequantize(&self) -> Vec<f32> {
        let mut numbers = recycle::take(self.values.len());
        numbers.resize(self.values.len(), 0.);
        for_each_chunk(&mut numbers, CHUNK, |first, to| {
            vectorised(Dequantize {
                from: &self.values[first..first + to.len()],
                to,
                quantization: self.quantization,
            });
        });
        numbers
    }

    /// `[N, H, W, C]`.
    pub fn dims(&self) -> [usize; 4] {
        self.dims
    }

    /// The bytes in the order of the shape.
    pub fn values(&self) -> &[u8] {
        &self.values
    }

    /// What the bytes stand for.
    pub fn quantization(&self) -> Quantization {
        self.quantization
    }

    pub(crate) fn wrap(dims: [usize; 4], values: Vec<u8>, quantization: Quantization) -> Self {
        Self {
            dims,
            values: Buffer::new(values),
            quantization,
        }
    }
}

impl fmt::Debug for QuantizedMap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("QuantizedMap")
            .field("dims", &self.dims)
            .field("quantization", &self.quantization)
            .finish_non_exhaustive()
    }
}

/// Bytes that are all zero, in memory that was used before if there is such.
pub(crate) fn zeros(len: usize) -> Vec<u8> {
    let mut values = recycle::take(len);
    values.resize(len, 0);
    values
}

/// How many values a shape has, if a number can say it.
pub(crate) fn elements(dims: [usize; 4]) -> Option<usize> {
    dims.iter()
        .try_fold(1usize, |product, &dim| product.checked_mul(dim))
}

fn check_len(dims: [usize; 4], len: usize) -> Result<(), Error> {
    if elements(dims) == Some(len) {
        return Ok(());
    }
    Err(Error::Shape {
        op: "quantized_map",
        what: "the buffer",
        found: vec![len],
        expected: format!("a value for each place of {dims:?}"),
    })
}

struct Quantize<'a> {
    from: &'a [f32],
    to: &'a mut [u8],
    quantization: Quantization,
}

impl Loop for Quantize<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            from,
            to,
            quantization,
        } = self;
        for (to, &from) in to.iter_mut().zip(from) {
            *to = quantization.quantize(from);
        }
    }
}

struct Dequantize<'a> {
    from: &'a [u8],
    to: &'a mut [f32],
    quantization: Quantization,
}

impl Loop for Dequantize<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            from,
            to,
            quantization,
        } = self;
        for (to, &from) in to.iter_mut().zip(from) {
            *to = quantization.dequantize(from);
        }
    }
}
