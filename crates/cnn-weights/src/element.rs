//! Element types as files store them, and the candle types they become.

use candle_core::{DType, Device, Result, Tensor};
use half::{bf16, f16};

/// How a file stores the elements of a tensor.
///
/// candle lacks some of these types; their tensors are widened without loss when they are loaded:
///
/// | stored | loaded as |
/// |---|---|
/// | bool | [`DType::U8`], 0 or 1 |
/// | int8 | [`DType::I16`] |
/// | uint16 | [`DType::U32`] |
/// | uint64 | [`DType::I64`]; a value of 2⁶³ or more is an error |
/// | the others | the type of the same name |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// Boolean, one byte.
    Bool,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 16-bit integer.
    I16,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 32-bit integer.
    I32,
    /// Single precision.
    F32,
    /// Unsigned 64-bit integer.
    U64,
    /// Signed 64-bit integer.
    I64,
    /// Double precision.
    F64,
    /// A type that cannot be loaded: complex, 8-bit and smaller floats, quantised integers.
    Other {
        /// Its name in the file.
        name: &'static str,
        /// Bits per element.
        bits: u8,
    },
}

impl ElementType {
    /// Bits per element.
    pub fn bits(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 8,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 16,
            Self::U32 | Self::I32 | Self::F32 => 32,
            Self::U64 | Self::I64 | Self::F64 => 64,
            Self::Other { bits, .. } => usize::from(bits),
        }
    }

    /// The type of the tensor that [`TensorFile::tensor`](crate::TensorFile::tensor) gives, `None`
    /// for [`ElementType::Other`].
    pub fn dtype(self) -> Option<DType> {
        Some(match self {
            Self::Bool | Self::U8 => DType::U8,
            Self::I8 | Self::I16 => DType::I16,
            Self::U16 | Self::U32 => DType::U32,
            Self::F16 => DType::F16,
            Self::BF16 => DType::BF16,
            Self::I32 => DType::I32,
            Self::F32 => DType::F32,
            Self::U64 | Self::I64 => DType::I64,
            Self::F64 => DType::F64,
            Self::Other { .. } => return None,
        })
    }

    /// The element type of this name in a safetensors header.
    pub(crate) fn from_safetensors(name: &str) -> Option<Self> {
        Some(match name {
            "BOOL" => Self::Bool,
            "U8" => Self::U8,
            "I8" => Self::I8,
            "U16" => Self::U16,
            "I16" => Self::I16,
            "F16" => Self::F16,
            "BF16" => Self::BF16,
            "U32" => Self::U32,
            "I32" => Self::I32,
            "F32" => Self::F32,
            "U64" => Self::U64,
            "I64" => Self::I64,
            "F64" => Self::F64,
            "F4" => Self::Other {
                name: "F4",
                bits: 4,
            },
            "F6_E2M3" => Self::Other {
                name: "F6_E2M3",
                bits: 6,
            },
            "F6_E3M2" => Self::Other {
                name: "F6_E3M2",
                bits: 6,
            },
            "F8_E5M2" => Self::Other {
                name: "F8_E5M2",
                bits: 8,
            },
            "F8_E4M3" => Self::Other {
                name: "F8_E4M3",
                bits: 8,
            },
            "F8_E8M0" => Self::Other {
                name: "F8_E8M0",
                bits: 8,
            },
            "F8_E4M3FNUZ" => Self::Other {
                name: "F8_E4M3FNUZ",
                bits: 8,
            },
            "F8_E5M2FNUZ" => Self::Other {
                name: "F8_E5M2FNUZ",
                bits: 8,
            },
            "C64" => Self::Other {
                name: "C64",
                bits: 64,
            },
            _ => return None,
        })
    }

    /// The element type of `torch.<name>`.
    pub(crate) fn from_torch(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "uint8" => Self::U8,
            "int8" => Self::I8,
            "uint16" => Self::U16,
            "int16" | "short" => Self::I16,
            "float16" | "half" => Self::F16,
            "bfloat16" => Self::BF16,
            "uint32" => Self::U32,
            "int32" | "int" => Self::I32,
            "float32" | "float" => Self::F32,
            "uint64" => Self::U64,
            "int64" | "long" => Self::I64,
            "float64" | "double" => Self::F64,
            "float8_e4m3fn" => Self::Other {
                name: "float8_e4m3fn",
                bits: 8,
            },
            "float8_e5m2" => Self::Other {
                name: "float8_e5m2",
                bits: 8,
            },
            "float8_e4m3fnuz" => Self::Other {
                name: "float8_e4m3fnuz",
                bits: 8,
            },
            "float8_e5m2fnuz" => Self::Other {
                name: "float8_e5m2fnuz",
                bits: 8,
            },
            "float8_e8m0fnu" => Self::Other {
                name: "float8_e8m0fnu",
                bits: 8,
            },
            "complex32" => Self::Other {
                name: "complex32",
                bits: 32,
            },
            "complex64" | "cfloat" => Self::Other {
                name: "complex64",
                bits: 64,
            },
            "complex128" | "cdouble" => Self::Other {
                name: "complex128",
                bits: 128,
            },
            _ => return None,
        })
    }

    /// The element type of `numpy.dtype(name)`, as numpy pickles it: kind and bytes.
    pub(crate) fn from_numpy(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"b1" => Self::Bool,
            b"u1" => Self::U8,
            b"i1" => Self::I8,
            b"u2" => Self::U16,
            b"i2" => Self::I16,
            b"f2" => Self::F16,
            b"u4" => Self::U32,
            b"i4" => Self::I32,
            b"f4" => Self::F32,
            b"u8" => Self::U64,
            b"i8" => Self::I64,
            b"f8" => Self::F64,
            b"c8" => Self::Other {
                name: "complex64",
                bits: 64,
            },
            b"c16" => Self::Other {
                name: "complex128",
                bits: 128,
            },
            _ => return None,
        })
    }

    /// The element type of `torch.<name>Storage`; an untyped storage holds bytes.
    pub(crate) fn from_storage(name: &str) -> Option<Self> {
        Some(match name.strip_suffix("Storage")? {
            "Bool" => Self::Bool,
            "Byte" | "Untyped" | "_Untyped" => Self::U8,
            "Char" => Self::I8,
            "Short" => Self::I16,
            "Half" => Self::F16,
            "BFloat16" => Self::BF16,
            "Int" => Self::I32,
            "Float" => Self::F32,
            "Long" => Self::I64,
            "Double" => Self::F64,
            "ComplexFloat" => Self::Other {
                name: "complex64",
                bits: 64,
            },
            "ComplexDouble" => Self::Other {
                name: "complex128",
                bits: 128,
            },
            "QInt8" => Self::Other {
                name: "qint8",
                bits: 8,
            },
            "QUInt8" => Self::Other {
                name: "quint8",
                bits: 8,
            },
            "QInt32" => Self::Other {
                name: "qint32",
                bits: 32,
            },
            "QUInt4x2" => Self::Other {
                name: "quint4x2",
                bits: 8,
            },
            "QUInt2x4" => Self::Other {
                name: "quint2x4",
                bits: 8,
            },
            _ => return None,
        })
    }

    /// Makes a tensor of `shape` on the CPU from little-endian `bytes`, one element after the
    /// other.
    pub(crate) fn to_tensor(self, bytes: &[u8], shape: &[usize]) -> Result<Tensor> {
        let cpu = &Device::Cpu;
        match self {
            Self::Bool => Tensor::from_vec(
                bytes.iter().map(|&b| u8::from(b != 0)).collect(),
                shape,
                cpu,
            ),
            Self::U8 => Tensor::from_vec(bytes.to_vec(), shape, cpu),
            Self::I8 => Tensor::from_vec(
                words(bytes, |[b]| i16::from(i8::from_le_bytes([b]))),
                shape,
                cpu,
            ),
            Self::U16 => Tensor::from_vec(
                words(bytes, |b| u32::from(u16::from_le_bytes(b))),
                shape,
                cpu,
            ),
            Self::I16 => Tensor::from_vec(words(bytes, i16::from_le_bytes), shape, cpu),
            Self::F16 => Tensor::from_vec(words(bytes, f16::from_le_bytes), shape, cpu),
            Self::BF16 => Tensor::from_vec(words(bytes, bf16::from_le_bytes), shape, cpu),
            Self::U32 => Tensor::from_vec(words(bytes, u32::from_le_bytes), shape, cpu),
            Self::I32 => Tensor::from_vec(words(bytes, i32::from_le_bytes), shape, cpu),
            Self::F32 => Tensor::from_vec(words(bytes, f32::from_le_bytes), shape, cpu),
            Self::I64 => Tensor::from_vec(words(bytes, i64::from_le_bytes), shape, cpu),
            Self::F64 => Tensor::from_vec(words(bytes, f64::from_le_bytes), shape, cpu),
            Self::U64 => {
                let values = words(bytes, |b| i64::try_from(u64::from_le_bytes(b)));
                let values: std::result::Result<Vec<_>, _> = values.into_iter().collect();
                Tensor::from_vec(values.map_err(candle_core::Error::wrap)?, shape, cpu)
            }
            Self::Other { name, .. } => candle_core::bail!("there is no candle type for `{name}`"),
        }
    }
}

fn words<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|&word| convert(word))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn widened_types_keep_their_values() {
        let values = |element: ElementType, bytes: &[u8], count: usize| {
            let tensor = element.to_tensor(bytes, &[count]).unwrap();
            assert_eq!(Some(tensor.dtype()), element.dtype());
            tensor
                .to_dtype(DType::F64)
                .unwrap()
                .to_vec1::<f64>()
                .unwrap()
        };
        assert_eq!(values(ElementType::Bool, &[0, 1, 2], 3), [0.0, 1.0, 1.0]);
        assert_eq!(
            values(ElementType::I8, &[0x80, 0x7f, 0xff], 3),
            [-128.0, 127.0, -1.0]
        );
        assert_eq!(
            values(ElementType::U16, &[0xff, 0xff, 1, 0], 2),
            [65535.0, 1.0]
        );
        assert_eq!(
            values(ElementType::U64, &[7, 0, 0, 0, 0, 0, 0, 0], 1),
            [7.0]
        );
        assert!(ElementType::U64.to_tensor(&[0xff; 8], &[1]).is_err());
    }
}
