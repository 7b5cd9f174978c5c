//! The format before PyTorch 1.6: pickles of a magic number, a protocol number, facts about the
//! machine, the structure and the storages' keys, one after the other; then each storage as element
//! count and raw bytes.

use super::{Parts, big_endian, key_text, short_storage};
use crate::tensor_file::{Buffer, Prefer};
use crate::{Error, Format, TensorFile};
use cnn_pickle::{Pickle, Value};

/// `0x1950a86a20f9469cfc6c`, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

const PROTOCOL: i64 = 1001;

pub(crate) fn read_legacy(bytes: Vec<u8>, prefer: Prefer) -> Result<TensorFile, Error> {
    let parts = parts(&bytes, prefer)?;
    parts.into_file(bytes)
}

fn parts(bytes: &[u8], prefer: Prefer) -> Result<Parts, Error> {
    let mut position = 0;
    let mut next = || {
        let pickle = at(
            position,
            Pickle::parse(&bytes[position..]).map_err(Error::from),
        )?;
        position += pickle.end;
        Ok::<_, Error>((pickle, position))
    };
    check_magic(&next()?.0)?;
    check_protocol(&next()?.0)?;
    check_byte_order(&next()?.0)?;
    let (structure, _) = next()?;
    let (keys, data) = next()?;
    let buffers = storages(&structure, &keys, bytes, data)?;
    Parts::new(Format::PthLegacy, &structure, buffers, prefer)
}

/// Offsets in errors count from the file's start.
fn at<T>(position: usize, result: Result<T, Error>) -> Result<T, Error> {
    result.map_err(|error| match error {
        Error::Pickle { offset, reason } => Error::Pickle {
            offset: position + offset,
            reason,
        },
        other => other,
    })
}

fn check_magic(pickle: &Pickle<'_>) -> Result<(), Error> {
    match *pickle.value(pickle.root) {
        Value::LongInt(number) if pickle.text(number) == MAGIC => Ok(()),
        _ => Err(Error::UnknownFormat {
            found: "this is a pickle without PyTorch's magic number, as `pickle.dump` writes \
                it: load it in Python \
                    and save it with `torch.save`"
                .into(),
        }),
    }
}

fn check_protocol(pickle: &Pickle<'_>) -> Result<(), Error> {
    match *pickle.value(pickle.root) {
        Value::Int(PROTOCOL) => Ok(()),
        Value::Int(other) => Err(Error::Unsupported(format!(
            "PyTorch file protocol {other} is not known, {PROTOCOL} is"
        ))),
        _ => Err(malformed("the protocol is not a number")),
    }
}

fn check_byte_order(pickle: &Pickle<'_>) -> Result<(), Error> {
    let Value::Dict(facts) = pickle.value(pickle.root) else {
        return Err(malformed(
            "the facts about the machine are not a dictionary",
        ));
    };
    let big = facts.iter().any(|&(key, value)| {
        pickle.text_of(key) == Some(b"little_endian")
            && matches!(pickle.value(value), Value::Bool(false))
    });
    if big { Err(big_endian()) } else { Ok(()) }
}

/// Where each declared storage's bytes are, in the order of the declarations.
fn storages(
    structure: &Pickle<'_>,
    keys: &Pickle<'_>,
    bytes: &[u8],
    data: usize,
) -> Result<Vec<Buffer>, Error> {
    let Value::List(order) = keys.value(keys.root) else {
        return Err(malformed("the storages' keys are not a list"));
    };
    let mut found: Vec<Option<Buffer>> = structure.storages.iter().map(|_| None).collect();
    let mut position = data;
    for &id in order {
        let key = keys
            .text_of(id)
            .ok_or_else(|| malformed("a storage's key is not a text"))?;
        let (index, _, declared) = structure.storages.get_full(key).ok_or_else(|| {
            malformed(format!("storage `{}` is used by no tensor", key_text(key)))
        })?;
        let cut = || {
            malformed(format!(
                "storage `{}` is cut: the file ends at byte {}",
                key_text(key),
                bytes.len()
            ))
        };
        let count = i64::from_le_bytes(
            *bytes
                .get(position..)
                .and_then(|rest| rest.first_chunk())
                .ok_or_else(cut)?,
        );
        let size = declared.element.bits() / 8;
        let len = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(size));
        let start = position + 8;
        let end = len
            .and_then(|len| start.checked_add(len))
            .filter(|&end| end <= bytes.len())
            .ok_or_else(cut)?;
        if declared.len > end - start {
            return Err(short_storage(key, declared.len, end - start));
        }
        found[index] = Some(Buffer::File(start..end));
        position = end;
    }
    let keys = structure.storages.keys();
    found
        .into_iter()
        .zip(keys)
        .map(|(buffer, key)| {
            buffer
                .ok_or_else(|| malformed(format!("storage `{}` is not in the file", key_text(key))))
        })
        .collect()
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed {
        format: "legacy PyTorch",
        reason: reason.into(),
    }
}
