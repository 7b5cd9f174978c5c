//! Arrays of bytes and numbers in MATLAB's files of version 5 ("MAT-File Format", MathWorks 2019).

use std::io::Read;

use flate2::read::ZlibDecoder;

/// An array with its dimensions; the first runs fastest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) name: String,
    pub(super) dimensions: Vec<usize>,
    pub(super) values: Values,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Bytes(Vec<u8>),
    Numbers(Vec<f64>),
}

impl Array {
    /// Its values as whole numbers; none where they are no such.
    pub(super) fn whole_numbers(&self) -> Option<Vec<u64>> {
        let whole = |value: f64| {
            ((0.0..1e15).contains(&value) && value.fract() == 0.0).then_some(value as u64)
        };
        match &self.values {
            Values::Bytes(bytes) => Some(bytes.iter().map(|byte| u64::from(*byte)).collect()),
            Values::Numbers(numbers) => numbers.iter().copied().map(whole).collect(),
        }
    }
}

const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// All numeric arrays of a file; `limit` bounds the bytes of each, unpacked.
pub(super) fn read(bytes: &[u8], limit: u64) -> Result<Vec<Array>, &'static str> {
    let header = bytes.get(..128).ok_or("it is cut off")?;
    if header.get(124..128) != Some(&[0, 1, b'I', b'M']) {
        return Err("it is no MATLAB file of version 5 in the usual byte order");
    }
    let mut arrays = Vec::new();
    let mut rest = &bytes[128..];
    while !rest.is_empty() {
        let (kind, content, after) = element(rest)?;
        rest = after;
        if kind != COMPRESSED {
            arrays.extend(matrix(kind, content)?);
            continue;
        }
        let mut unpacked = Vec::new();
        let read = ZlibDecoder::new(content)
            .take(limit + 1)
            .read_to_end(&mut unpacked);
        read.map_err(|_| "one of its arrays is damaged")?;
        if unpacked.len() as u64 > limit {
            return Err("one of its arrays is larger than the dataset's could be");
        }
        let (kind, content, _) = element(&unpacked)?;
        arrays.extend(matrix(kind, content)?);
    }
    Ok(arrays)
}

/// The kind and the content of the first element, and what comes after it.
fn element(bytes: &[u8]) -> Result<(u32, &[u8], &[u8]), &'static str> {
    const CUT: &str = "it is cut off";
    let word = |at: usize| -> Result<u32, &'static str> {
        let word = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        word.map(|word| u32::from_le_bytes(*word)).ok_or(CUT)
    };
    let tag = word(0)?;
    // A small element has its size in the upper half and its content in the same eight bytes.
    if tag >> 16 != 0 {
        let length = (tag >> 16) as usize;
        let content = bytes.get(4..4 + length.min(4)).ok_or(CUT)?;
        return Ok((tag & 0xffff, content, bytes.get(8..).unwrap_or_default()));
    }
    let length = word(4)? as usize;
    let content = bytes
        .get(8..)
        .and_then(|bytes| bytes.get(..length))
        .ok_or(CUT)?;
    // Elements begin at multiples of eight, except after a compressed one.
    let padded = if tag == COMPRESSED {
        length
    } else {
        length.next_multiple_of(8)
    };
    Ok((tag, content, bytes.get(8 + padded..).unwrap_or_default()))
}

/// The array of a matrix element; none for cells, structures and text, which are passed over.
fn matrix(kind: u32, bytes: &[u8]) -> Result<Option<Array>, &'static str> {
    if kind != MATRIX || bytes.is_empty() {
        return Ok(None);
    }
    let (_, flags, bytes) = element(bytes)?;
    let (_, dimensions, bytes) = element(bytes)?;
    let (_, name, bytes) = element(bytes)?;
    // Classes 6 to 15 are numbers.
    if !flags.first().is_some_and(|class| (6..=15).contains(class)) {
        return Ok(None);
    }
    let (kind, content, _) = element(bytes)?;
    let dimensions: Vec<usize> = dimensions
        .chunks_exact(4)
        .map(|chunk| u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) as usize)
        .collect();
    let values =
        values(kind, content).ok_or("one of its arrays has a kind of numbers that is not read")?;
    let count = match &values {
        Values::Bytes(bytes) => bytes.len(),
        Values::Numbers(numbers) => numbers.len(),
    };
    let expected = dimensions
        .iter()
        .try_fold(1_usize, |product, length| product.checked_mul(*length));
    if expected != Some(count) {
        return Err("one of its arrays has another number of values than its dimensions say");
    }
    Ok(Some(Array {
        name: String::from_utf8_lossy(name).into_owned(),
        dimensions,
        values,
    }))
}

fn values(kind: u32, content: &[u8]) -> Option<Values> {
    fn numbers<const N: usize>(content: &[u8], number: impl Fn([u8; N]) -> f64) -> Values {
        let chunks = content
            .chunks_exact(N)
            .filter_map(|chunk| chunk.first_chunk());
        Values::Numbers(chunks.map(|chunk| number(*chunk)).collect())
    }
    Some(match kind {
        UINT8 => Values::Bytes(content.to_vec()),
        INT8 => numbers(content, |bytes| f64::from(i8::from_le_bytes(bytes))),
        INT16 => numbers(content, |bytes| f64::from(i16::from_le_bytes(bytes))),
        UINT16 => numbers(content, |bytes| f64::from(u16::from_le_bytes(bytes))),
        INT32 => numbers(content, |bytes| f64::from(i32::from_le_bytes(bytes))),
        UINT32 => numbers(content, |bytes| f64::from(u32::from_le_bytes(bytes))),
        SINGLE => numbers(content, |bytes| f64::from(f32::from_le_bytes(bytes))),
        DOUBLE => numbers(content, f64::from_le_bytes),
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn padded(kind: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// A file with arrays of bytes, compressed as MATLAB does by default.
    pub(crate) fn file(arrays: &[(&str, &[u32], u32, &[u8])]) -> Vec<u8> {
        let mut file = vec![b' '; 124];
        file.extend([0, 1, b'I', b'M']);
        for (name, dimensions, kind, content) in arrays {
            let dimensions: Vec<u8> = dimensions
                .iter()
                .flat_map(|length| length.to_le_bytes())
                .collect();
            let matrix = [
                padded(UINT32, &[9, 0, 0, 0, 0, 0, 0, 0]),
                padded(INT32, &dimensions),
                padded(INT8, name.as_bytes()),
                padded(*kind, content),
            ];
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder
                .write_all(&padded(MATRIX, &matrix.concat()))
                .unwrap();
            let packed = encoder.finish().unwrap();
            file.extend(COMPRESSED.to_le_bytes());
            file.extend((packed.len() as u32).to_le_bytes());
            file.extend(packed);
        }
        file
    }

    /// `scipy.io.savemat(f, {'a': np.array([[1, 300]], np.uint16)})`, its header text cut.
    #[test]
    fn what_scipy_writes_is_read() {
        let mut bytes = vec![b' '; 124];
        bytes.extend([0, 1, b'I', b'M']);
        bytes.extend([
            14, 0, 0, 0, 48, 0, 0, 0, 6, 0, 0, 0, 8, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0,
            8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0, 97, 0, 0, 0, 4, 0, 4, 0, 1, 0, 44, 1,
        ]);
        let arrays = read(&bytes, 1000).unwrap();
        assert_eq!(
            (arrays[0].name.as_str(), arrays[0].dimensions.as_slice()),
            ("a", [1, 2].as_slice())
        );
        assert_eq!(arrays[0].whole_numbers(), Some(vec![1, 300]));
    }

    #[test]
    fn compressed_arrays_are_read_within_bounds() {
        let bytes = file(&[
            ("X", &[2, 3], UINT8, &[1, 2, 3, 4, 5, 6]),
            ("y", &[1, 1], DOUBLE, &7_f64.to_le_bytes()),
        ]);
        let arrays = read(&bytes, 1000).unwrap();
        assert_eq!(arrays[0].values, Values::Bytes(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(arrays[1].whole_numbers(), Some(vec![7]));
        assert!(read(&bytes, 10).is_err());
        assert!(read(&file(&[("X", &[2, 4], UINT8, &[1, 2, 3, 4, 5, 6])]), 1000).is_err());
        assert!(read(b"<html>", 1000).is_err());
    }

    #[test]
    fn a_hundred_thousand_mutations_do_no_harm() {
        let seed = file(&[("X", &[2, 3], UINT8, &[1, 2, 3, 4, 5, 6])]);
        let mut plain = vec![b' '; 124];
        plain.extend([0, 1, b'I', b'M']);
        plain.extend(padded(
            MATRIX,
            &[
                padded(UINT32, &[9, 0, 0, 0, 0, 0, 0, 0]),
                padded(INT32, &[2, 0, 0, 0, 3, 0, 0, 0]),
                padded(INT8, b"X"),
                padded(UINT8, &[1, 2, 3, 4, 5, 6]),
            ]
            .concat(),
        ));
        let mut rng = cnn_core::Key::new(14).stream("matlab").rng();
        let mut accepted = 0;
        for round in 0..100_000 {
            let mut bytes = if round % 2 == 0 {
                seed.clone()
            } else {
                plain.clone()
            };
            for _ in 0..=rng.below(3) {
                let at = 120 + rng.below(bytes.len() as u64 - 120) as usize;
                match rng.below(4) {
                    0 => bytes.truncate(at.max(122)),
                    _ => bytes[at] = rng.below(256) as u8,
                }
            }
            accepted += u32::from(read(&bytes, 1000).is_ok());
        }
        assert!(accepted > 1000, "{accepted}");
    }
}
