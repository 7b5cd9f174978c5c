//! numpy arrays, whose bytes lie within the pickle.

use super::ElementType;
use super::machine::{Failure, Machine};
use super::value::{ArrayType, Id, Source, Span, Storage, TensorView, Value};

const UNREADABLE: &str = "numpy arrays of this type are not read";
const BIG_ENDIAN: &str = "big-endian numpy arrays are not read";
const BROKEN: &str = "the numpy array is malformed";

/// A text of the pickle that an array lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct InlineBytes {
    pub(super) span: Span,
    /// Whether each character stands for a byte.
    pub(super) is_encoded: bool,
}

/// What an array is made of.
struct Parts {
    shape: Id,
    array_type: Id,
    /// First index fastest.
    is_fortran: bool,
    data: Id,
}

impl Machine<'_> {
    /// `numpy.dtype(name, …)`.
    pub(super) fn array_type(&self, name: Option<Id>) -> Value {
        let name = name.and_then(|name| self.text_of(name));
        Value::ArrayType(ArrayType {
            element: name.and_then(ElementType::from_numpy),
            is_big_endian: false,
        })
    }

    /// BUILD: what `__setstate__` of an array or of its type does.
    ///
    /// An array that is not read says why, for it may lie beside the weights.
    pub(super) fn build_array(&mut self, object: Id, state: Id) -> Result<(), Failure> {
        let items = self.sequence(state).map(<[Id]>::to_vec).unwrap_or_default();
        let built = match *self.value(object) {
            // (version, byte order, …)
            Value::ArrayType(array_type) => {
                let order = items.get(1).and_then(|&order| self.text_of(order));
                Value::ArrayType(ArrayType {
                    is_big_endian: order == Some(b">"),
                    ..array_type
                })
            }
            // (version, shape, type, whether in Fortran's order, bytes); once without the version.
            _ => match *items.as_slice() {
                [shape, array_type, order, data] | [_, shape, array_type, order, data] => self
                    .array(Parts {
                        shape,
                        array_type,
                        is_fortran: matches!(self.value(order), Value::Bool(true)),
                        data,
                    })?,
                _ => Value::UnreadableTensor(BROKEN),
            },
        };
        *self.value_mut(object) = built;
        Ok(())
    }

    /// `_frombuffer(bytes, type, shape, order)`, as protocol 5 writes arrays.
    pub(super) fn array_of_buffer(&mut self, args: Id) -> Result<Value, Failure> {
        let &[data, array_type, shape, order] = self.sequence(args)? else {
            return Ok(Value::UnreadableTensor(BROKEN));
        };
        let is_fortran = self.text_of(order) == Some(b"F");
        self.array(Parts {
            shape,
            array_type,
            is_fortran,
            data,
        })
    }

    fn array(&mut self, parts: Parts) -> Result<Value, Failure> {
        let &Value::ArrayType(array_type) = self.value(parts.array_type) else {
            return Ok(Value::UnreadableTensor(BROKEN));
        };
        let Some(element) = array_type.element else {
            return Ok(Value::UnreadableTensor(UNREADABLE));
        };
        if array_type.is_big_endian && element.bits() > 8 {
            return Ok(Value::UnreadableTensor(BIG_ENDIAN));
        }
        let shape = self.sizes(parts.shape, "an array's size");
        let strides = shape
            .as_ref()
            .ok()
            .and_then(|shape| strides(shape, parts.is_fortran));
        let storage = self.inline_storage(parts.data, element)?;
        let (Ok(shape), Some(strides), Some(storage)) = (shape, strides, storage) else {
            return Ok(Value::UnreadableTensor(BROKEN));
        };
        Ok(Value::Tensor(Box::new(TensorView {
            storage,
            element,
            offset: 0,
            shape,
            strides,
        })))
    }

    /// A text as a storage; each is kept once, however often it is used.
    fn inline_storage(
        &mut self,
        data: Id,
        element: ElementType,
    ) -> Result<Option<Storage>, Failure> {
        let bytes = match *self.value(data) {
            Value::Text(span) => InlineBytes {
                span,
                is_encoded: false,
            },
            Value::Encoded(span) => InlineBytes {
                span,
                is_encoded: true,
            },
            _ => return Ok(None),
        };
        let text = self.text(bytes.span);
        let entry = self.inline.entry(bytes);
        let index = u32::try_from(entry.index()).map_err(|_| Failure::TooManyValues)?;
        let len = *entry.or_insert_with(|| decoded_len(text, bytes.is_encoded));
        Ok(len.map(|len| Storage {
            source: Source::Inline(index),
            element,
            start: 0,
            len,
        }))
    }
}

/// The bytes that a text stands for, none where it stands for none.
pub(super) fn decoded(text: &[u8], is_encoded: bool) -> Vec<u8> {
    if !is_encoded {
        return text.to_vec();
    }
    let characters = str::from_utf8(text).unwrap_or_default().chars();
    characters.map_while(|c| u8::try_from(c).ok()).collect()
}

/// How many bytes a text stands for; `None` if one of its characters stands for none.
fn decoded_len(text: &[u8], is_encoded: bool) -> Option<usize> {
    if !is_encoded {
        return Some(text.len());
    }
    let mut len = 0;
    for character in str::from_utf8(text).ok()?.chars() {
        u8::try_from(character).ok()?;
        len += 1;
    }
    Some(len)
}

/// Strides in elements; `None` where they overflow.
fn strides(shape: &[usize], is_fortran: bool) -> Option<Vec<usize>> {
    let mut strides = vec![0; shape.len()];
    let mut next = 1usize;
    for place in 0..shape.len() {
        let axis = if is_fortran {
            place
        } else {
            shape.len() - 1 - place
        };
        strides[axis] = next;
        next = next.checked_mul(shape[axis].max(1))?;
    }
    Some(strides)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn characters_stand_for_bytes() {
        let text = "a\u{e9}\u{ff}\0".as_bytes();
        assert_eq!(decoded(text, true), [0x61, 0xe9, 0xff, 0]);
        assert_eq!(decoded_len(text, true), Some(4));
        assert_eq!(decoded_len(text, false), Some(6));
        assert_eq!(decoded_len("a\u{100}".as_bytes(), true), None);
        assert_eq!(decoded_len(b"\xff", true), None);
    }

    #[test]
    fn strides_of_both_orders() {
        assert_eq!(strides(&[2, 3, 4], false).unwrap(), [12, 4, 1]);
        assert_eq!(strides(&[2, 3, 4], true).unwrap(), [1, 2, 6]);
        assert_eq!(strides(&[2, 0, 4], false).unwrap(), [4, 4, 1]);
        assert_eq!(strides(&[usize::MAX, 3], false), None);
    }
}
