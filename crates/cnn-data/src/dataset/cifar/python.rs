//! CIFAR's Python files: pickled dictionaries, read as data.

use cnn_pickle::{ElementType, Id, Pickle, Source, TensorView, Value};

use super::images::{Batch, Kind, Labels, PIXELS, Pixels};

/// Reads a dictionary of an array `data`, a row for each image, and its labels.
pub(super) fn parse(file: &[u8], kind: Kind) -> Result<Batch, String> {
    let pickle = Pickle::parse(file).map_err(|error| error.to_string())?;
    let name = match kind {
        Kind::Ten => "labels",
        Kind::Hundred(Labels::Coarse) => "coarse_labels",
        Kind::Hundred(Labels::Fine) => "fine_labels",
    };
    let labels =
        labels(&pickle, entry(&pickle, name)?).map_err(|reason| format!("`{name}`: {reason}"))?;
    let pixels = pixels(&pickle, entry(&pickle, "data")?, labels.len())
        .map_err(|reason| format!("`data`: {reason}"))?;
    Ok(Batch {
        name: "batch".to_owned(),
        pixels,
        labels,
    })
}

/// The classes' names, of the file that has them.
pub(super) fn class_names(file: &[u8], kind: Kind) -> Result<Vec<String>, String> {
    let pickle = Pickle::parse(file).map_err(|error| error.to_string())?;
    let name = match kind {
        Kind::Ten => "label_names",
        Kind::Hundred(Labels::Coarse) => "coarse_label_names",
        Kind::Hundred(Labels::Fine) => "fine_label_names",
    };
    let (Value::List(names) | Value::Tuple(names)) = pickle.value(entry(&pickle, name)?) else {
        return Err(format!("`{name}` is no list"));
    };
    let text = |id: &Id| {
        pickle
            .text_of(*id)
            .map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let names: Option<Vec<String>> = names.iter().map(text).collect();
    names.ok_or_else(|| format!("`{name}` holds something that is no text"))
}

fn entry(pickle: &Pickle<'_>, name: &str) -> Result<Id, String> {
    if !matches!(pickle.value(pickle.root), Value::Dict(_)) {
        return Err("it holds no dictionary, expected one with `data` and labels".to_owned());
    }
    pickle
        .entry(pickle.root, name.as_bytes())
        .ok_or_else(|| format!("it holds no `{name}`"))
}

fn labels(pickle: &Pickle<'_>, id: Id) -> Result<Vec<u8>, String> {
    let byte = |number: i64| {
        u8::try_from(number).map_err(|_| format!("the label {number} is not in 0 to 255"))
    };
    match pickle.value(id) {
        Value::List(items) | Value::Tuple(items) => items
            .iter()
            .map(|&item| match pickle.value(item) {
                Value::Int(number) => byte(*number),
                _ => Err("it holds something that is no whole number".to_owned()),
            })
            .collect(),
        Value::Tensor(array) => {
            let bytes = array_bytes(pickle, array)?;
            let width = array.element.bits() / 8;
            let rows = row_major(array, bytes.len())?;
            let [count] = rows.shape[..] else {
                return Err(format!("dimensions {:?}, expected one", rows.shape));
            };
            let numbers = bytes[rows.start..].chunks_exact(width).take(count);
            numbers
                .map(|word| byte(integer(array.element, word)?))
                .collect()
        }
        Value::UnreadableTensor(reason) => Err((*reason).to_owned()),
        _ => Err("expected a list of numbers".to_owned()),
    }
}

/// A little-endian integer; a negative one is none that a label could be.
fn integer(element: ElementType, word: &[u8]) -> Result<i64, String> {
    match element {
        ElementType::I8 => Ok(word.first().map_or(0, |byte| i64::from(byte.cast_signed()))),
        ElementType::U8
        | ElementType::U16
        | ElementType::I16
        | ElementType::U32
        | ElementType::I32
        | ElementType::U64
        | ElementType::I64 => {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            Ok(i64::from_le_bytes(bytes))
        }
        other => Err(format!(
            "its elements are {other:?}, expected whole numbers"
        )),
    }
}

fn pixels(pickle: &Pickle<'_>, id: Id, count: usize) -> Result<Pixels, String> {
    let array = match pickle.value(id) {
        Value::Tensor(array) => array,
        Value::UnreadableTensor(reason) => return Err((*reason).to_owned()),
        _ => return Err("it is no array".to_owned()),
    };
    if array.element != ElementType::U8 {
        return Err(format!("its elements are {:?}, expected U8", array.element));
    }
    let bytes = array_bytes(pickle, array)?;
    let rows = row_major(array, bytes.len())?;
    let per_image: Option<usize> = rows.shape.get(1..).and_then(|sizes| {
        sizes
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size))
    });
    if rows.shape.first() != Some(&count) || per_image != Some(PIXELS) {
        return Err(format!(
            "dimensions {:?}, expected [{count}, {PIXELS}] as there are {count} labels",
            rows.shape
        ));
    }
    Ok(Pixels {
        bytes,
        start: rows.start,
        step: PIXELS,
    })
}

/// The bytes that an array lies in.
fn array_bytes(pickle: &Pickle<'_>, array: &TensorView) -> Result<Vec<u8>, String> {
    match array.storage.source {
        Source::Inline(index) => pickle
            .inline()
            .nth(index as usize)
            .ok_or_else(|| "its bytes are not in the file".to_owned()),
        Source::Declared(_) => Err("it is a tensor of PyTorch's, expected an array".to_owned()),
    }
}

/// An array whose last index varies fastest.
struct Rows<'a> {
    /// The first byte.
    start: usize,
    shape: &'a [usize],
}

fn row_major(array: &TensorView, len: usize) -> Result<Rows<'_>, String> {
    let width = array.element.bits() / 8;
    let mut step = 1_usize;
    let mut is_row_major = true;
    for (&size, &stride) in array.shape.iter().zip(&array.strides).rev() {
        is_row_major &= stride == step || size <= 1;
        step = step
            .checked_mul(size)
            .ok_or("its size is beyond any memory")?;
    }
    if !is_row_major {
        return Err("it is stored column by column, which is not read".to_owned());
    }
    let start = array.offset.checked_mul(width);
    let needed = step.checked_mul(width).zip(start);
    let needed = needed.and_then(|(bytes, start)| bytes.checked_add(start));
    match (needed, start) {
        (Some(needed), Some(start)) if needed <= len => Ok(Rows {
            start,
            shape: &array.shape,
        }),
        _ => Err(format!(
            "dimensions {:?} need more than its {len} bytes",
            array.shape
        )),
    }
}
