//! Reading safetensors: eight bytes of header length, a JSON header, the tensors' bytes.
//!
//! The header is parsed here and not by the `safetensors` crate because the errors there name no
//! tensor and its sum of offset and header length overflows on a crafted file (version 0.8).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::element::Element;
use crate::layout::Layout;
use crate::tensor_file::{self, Buffer};
use crate::{ElementType, Error, Format, TensorFile};

/// The limit of the format's reference implementation.
pub(crate) const MAX_HEADER: usize = 100_000_000;

/// The header's key that is no tensor.
pub(crate) const METADATA: &str = "__metadata__";

pub(crate) fn read(bytes: Vec<u8>) -> Result<TensorFile, Error> {
    let (header, start) = header(&bytes)?;
    let Header {
        metadata,
        mut tensors,
    } = serde_json::from_slice(header).map_err(|e| malformed(format!("header: {e}")))?;
    tensors.sort_by(|(a_name, a), (b_name, b)| {
        (a.data_offsets, a_name).cmp(&(b.data_offsets, b_name))
    });

    let mut file = TensorFile {
        format: Format::Safetensors,
        buffers: vec![Buffer::File(start..bytes.len())],
        bytes,
        entries: Default::default(),
        skipped: Vec::new(),
        metadata,
        chosen: None,
        wrapper: String::new(),
    };
    let available = file.bytes.len() - start;
    let mut expected = 0;
    for (name, tensor) in tensors {
        let layout = tensor
            .layout(expected, available)
            .map_err(|reason| Error::tensor(&name, reason))?;
        expected = tensor.data_offsets[1];
        tensor_file::add(&mut file.entries, &mut file.skipped, name, layout, 0)?;
    }
    if expected != available {
        return Err(malformed(format!(
            "the tensors take {expected} bytes, the file holds {available} after its header"
        )));
    }
    Ok(file)
}

/// The header's bytes and where the data starts.
fn header(bytes: &[u8]) -> Result<(&[u8], usize), Error> {
    let (length, rest) = bytes
        .split_first_chunk()
        .ok_or_else(|| malformed("shorter than 8 bytes"))?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER as u64 {
        return Err(Error::Limit {
            what: "safetensors header bytes".into(),
            found: length,
            limit: MAX_HEADER as u64,
        });
    }
    // Cannot truncate: it is at most `MAX_HEADER`.
    let length = length as usize;
    let header = rest.get(..length).ok_or_else(|| {
        malformed(format!(
            "the header takes {length} bytes, the file holds {} after its length: it is cut",
            rest.len()
        ))
    })?;
    Ok((header, 8 + length))
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed {
        format: "safetensors",
        reason: reason.into(),
    }
}

struct Header {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, RawTensor)>,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

impl RawTensor {
    fn layout(&self, expected: usize, available: usize) -> Result<Layout, String> {
        let [start, end] = self.data_offsets;
        let element = ElementType::from_safetensors(&self.dtype)
            .ok_or_else(|| format!("unknown dtype `{}`", self.dtype))?;
        if start != expected {
            let what = if start < expected {
                "overlap the tensor before it"
            } else {
                "leave a hole"
            };
            return Err(format!(
                "offsets [{start}, {end}] {what}, which ends at {expected}"
            ));
        }
        if end > available {
            return Err(format!(
                "offsets [{start}, {end}] reach beyond the {available} bytes of data: the file is cut"
            ));
        }
        Layout::contiguous(element, self.shape.clone(), start, end)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header {
            metadata: BTreeMap::new(),
            tensors: Vec::new(),
        };
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                // Some writers have `null`.
                header.metadata = map.next_value::<Option<_>>()?.unwrap_or_default();
            } else {
                let tensor = map
                    .next_value()
                    .map_err(|e| serde::de::Error::custom(format!("tensor `{name}`: {e}")))?;
                header.tensors.push((name, tensor));
            }
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    #[test]
    fn broken_headers_are_errors_that_name_the_tensor() {
        let huge = usize::MAX;
        let cases = [
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#.into(), 4, "tensor `a`: shape [2] of F32 takes 8 bytes"),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#.into(), 4, "tensor `a`: offsets [0, 8] reach beyond the 4"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(), 8, "the tensors take 4 bytes, the file holds 8"),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#.into(), 8, "tensor `a`: offsets [4, 8] leave a hole"),
            (
                r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#.into(),
                6,
                "tensor `b`: offsets [2, 6] overlap",
            ),
            (
                r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#.into(),
                2,
                "two tensors are named `a`",
            ),
            (r#"{"a":{"dtype":"Q9","shape":[],"data_offsets":[0,4]}}"#.into(), 4, "tensor `a`: unknown dtype `Q9`"),
            (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#.into(), 4, "tensor `a`: invalid value"),
            (r#"{"a":{"dtype":"F32","shape":[],"data_offsets":[4,0]}}"#.into(), 4, "tensor `a`: offsets [4, 0]"),
            (format!(r#"{{"a":{{"dtype":"U8","shape":[{huge}],"data_offsets":[0,{huge}]}}}}"#), 1, "tensor `a`: offsets"),
            (r#"{"a":["#.into(), 0, "header: "),
            ("[".repeat(100_000), 0, "header: "),
        ];
        for (header, data, message) in cases {
            let error = read(file(&header, data)).unwrap_err().to_string();
            assert!(error.contains(message), "{error} lacks {message}");
        }
    }

    #[test]
    fn header_lengths_are_checked_before_allocation() {
        let mut bytes = (1u64 << 60).to_le_bytes().to_vec();
        bytes.extend(b"{}");
        let error = TensorFile::from_bytes(bytes).unwrap_err().to_string();
        assert_eq!(
            error,
            "safetensors header bytes: 1152921504606846976, at most 100000000 allowed"
        );

        let mut bytes = file("{}", 0);
        bytes[0] = 200;
        let error = TensorFile::from_bytes(bytes).unwrap_err().to_string();
        assert_eq!(
            error,
            "broken safetensors file: the header takes 200 bytes, the file holds 2 after its \
             length: it is cut"
        );
    }

    // safetensors 0.8 reads the first four and refuses the others.
    #[test]
    fn metadata_of_other_writers() {
        let tensor = r#""a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        for (metadata, expected) in [
            (r#""__metadata__":null,"#, Some(0)),
            (r#""__metadata__":{},"#, Some(0)),
            (r#""__metadata__":{"format":"mlx","a":""},"#, Some(2)),
            ("", Some(0)),
            (r#""__metadata__":[],"#, None),
            (r#""__metadata__":{"n":3},"#, None),
        ] {
            let read = read(file(&format!("{{{metadata}{tensor}}}   "), 4));
            assert_eq!(
                read.as_ref().ok().map(|file| file.metadata().len()),
                expected,
                "{metadata}: {read:?}"
            );
        }
    }

    #[test]
    fn types_without_a_candle_type_are_skipped_with_the_reason() {
        let header = r#"{"a":{"dtype":"F8_E5M2","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"BOOL","shape":[],"data_offsets":[4,5]}}"#;
        let file = read(file(header, 5)).unwrap();
        assert_eq!(file.names().collect::<Vec<_>>(), ["b"]);
        assert_eq!(file.skipped()[0].name, "a");
        assert_eq!(
            file.tensor("a").unwrap_err().to_string(),
            "tensor `a`: there is no candle type for `F8_E5M2`"
        );
    }
}
