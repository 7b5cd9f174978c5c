//! Writing safetensors: the same tensors and metadata give the same bytes.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;

use candle_core::{DType, Device, Tensor, WithDType};
use half::{bf16, f16};
use serde::Serialize;

use crate::Error;
use crate::safetensors::{MAX_HEADER, METADATA};

/// Writes `tensors` to a safetensors file that Python's `safetensors`, PyTorch and timm read.
///
/// The bytes depend on the arguments alone: tensors are laid out by decreasing alignment of their
/// type, then by name, the metadata is in the order of its keys, and the header is padded to a
/// multiple of 8 bytes. `format: pt` is always in the metadata. The file appears under its name
/// only when whole, with the mode that the umask gives.
///
/// # Errors
///
/// [`Error::Duplicate`] for a name given twice; [`Error::Tensor`] for the name `__metadata__` and
/// for types without a safetensors form; [`Error::Write`] if the file cannot be written, in which
/// case nothing has changed.
pub fn save_safetensors(
    path: &Path,
    tensors: &[(String, Tensor)],
    metadata: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let tensors = ordered(tensors)?;
    let header = header(&tensors, metadata)?;
    let mut failed = None;
    let written = cnn_core::write_atomic(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        for &(name, tensor, _) in &tensors {
            let bytes = bytes(tensor).map_err(|source| {
                failed = Some(Error::Candle {
                    name: name.to_string(),
                    source,
                });
                io::Error::other("a tensor cannot be read")
            })?;
            out.write_all(&bytes)?;
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

/// A tensor with its name and the place of its type in the format's order of alignment.
type Ordered<'a> = (&'a str, &'a Tensor, Stored);

/// Type name in the header; later ones come first in the file, as in the reference implementation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum Stored {
    U8,
    I16,
    F16,
    BF16,
    I32,
    U32,
    F32,
    F64,
    I64,
}

fn ordered(tensors: &[(String, Tensor)]) -> Result<Vec<Ordered<'_>>, Error> {
    let mut names = HashSet::new();
    let mut ordered = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        if name == METADATA {
            return Err(Error::tensor(name, "the format reserves this name"));
        }
        if !names.insert(name) {
            return Err(Error::Duplicate { name: name.clone() });
        }
        let stored = stored(tensor.dtype())
            .ok_or_else(|| Error::tensor(name, format!("{:?} cannot be saved", tensor.dtype())))?;
        ordered.push((name.as_str(), tensor, stored));
    }
    ordered.sort_by(|a, b| b.2.cmp(&a.2).then(a.0.cmp(b.0)));
    Ok(ordered)
}

fn stored(dtype: DType) -> Option<Stored> {
    Some(match dtype {
        DType::U8 => Stored::U8,
        DType::I16 => Stored::I16,
        DType::F16 => Stored::F16,
        DType::BF16 => Stored::BF16,
        DType::I32 => Stored::I32,
        DType::U32 => Stored::U32,
        DType::F32 => Stored::F32,
        DType::F64 => Stored::F64,
        DType::I64 => Stored::I64,
        _ => return None,
    })
}

#[derive(Serialize)]
struct TensorHeader<'a> {
    dtype: Stored,
    shape: &'a [usize],
    data_offsets: [usize; 2],
}

fn header(tensors: &[Ordered<'_>], metadata: &BTreeMap<String, String>) -> Result<String, Error> {
    let mut metadata = metadata.clone();
    metadata.insert("format".into(), "pt".into());
    let mut header = format!("{{{}:{}", json(METADATA), json(&metadata));
    let mut start = 0;
    for &(name, tensor, dtype) in tensors {
        let end = start + tensor.elem_count() * tensor.dtype().size_in_bytes();
        let tensor = TensorHeader {
            dtype,
            shape: tensor.dims(),
            data_offsets: [start, end],
        };
        header += &format!(",{}:{}", json(name), json(&tensor));
        start = end;
    }
    header.push('}');
    header.extend(std::iter::repeat_n(
        ' ',
        header.len().next_multiple_of(8) - header.len(),
    ));
    if header.len() > MAX_HEADER {
        return Err(Error::limit(
            "safetensors header bytes",
            header.len(),
            MAX_HEADER,
        ));
    }
    Ok(header)
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("texts and numbers always have a JSON form")
}

fn bytes(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    match tensor.dtype() {
        DType::U8 => le_bytes(tensor, u8::to_le_bytes),
        DType::I16 => le_bytes(tensor, i16::to_le_bytes),
        DType::F16 => le_bytes(tensor, f16::to_le_bytes),
        DType::BF16 => le_bytes(tensor, bf16::to_le_bytes),
        DType::I32 => le_bytes(tensor, i32::to_le_bytes),
        DType::U32 => le_bytes(tensor, u32::to_le_bytes),
        DType::F32 => le_bytes(tensor, f32::to_le_bytes),
        DType::F64 => le_bytes(tensor, f64::to_le_bytes),
        DType::I64 => le_bytes(tensor, i64::to_le_bytes),
        dtype => candle_core::bail!("{dtype:?} cannot be saved"),
    }
}

fn le_bytes<T: WithDType, const N: usize>(
    tensor: &Tensor,
    convert: impl Fn(T) -> [u8; N],
) -> candle_core::Result<Vec<u8>> {
    let values = tensor
        .to_device(&Device::Cpu)?
        .flatten_all()?
        .to_vec1::<T>()?;
    Ok(values.into_iter().flat_map(convert).collect())
}
