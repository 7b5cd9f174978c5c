//! The candle types that stored elements become.

use candle_core::{DType, Device, Result, Tensor};
use cnn_pickle::ElementType;
use half::{bf16, f16};

/// An element type as safetensors names it and candle computes with it.
pub(crate) trait Element: Sized {
    /// The type of the tensor that [`TensorFile::tensor`](crate::TensorFile::tensor) gives, `None`
    /// for one that cannot be loaded; [`TensorInfo`](crate::TensorInfo) has the table.
    fn dtype(self) -> Option<DType>;

    /// The element type of this name in a safetensors header.
    fn from_safetensors(name: &str) -> Option<Self>;

    /// Makes a tensor of `shape` on the CPU from little-endian `bytes`, one element after the
    /// other.
    fn to_tensor(self, bytes: &[u8], shape: &[usize]) -> Result<Tensor>;
}

impl Element for ElementType {
    fn dtype(self) -> Option<DType> {
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
            _ => return None,
        })
    }

    fn from_safetensors(name: &str) -> Option<Self> {
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

    fn to_tensor(self, bytes: &[u8], shape: &[usize]) -> Result<Tensor> {
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
            other => candle_core::bail!("there is no candle type for {other:?}"),
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
