//! Where a tensor's elements lie in a byte buffer: checked strided views, gathered into contiguous
//! bytes.

use std::borrow::Cow;

use crate::ElementType;

/// A strided view whose every element is known to lie within the buffer it was checked against.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    element: ElementType,
    /// Byte where element (0, …, 0) starts.
    start: usize,
    shape: Vec<usize>,
    /// In elements; `None` where the elements lie one after the other.
    strides: Option<Vec<usize>>,
}

impl Layout {
    /// A contiguous tensor in bytes `start..end`.
    pub(crate) fn contiguous(
        element: ElementType,
        shape: Vec<usize>,
        start: usize,
        end: usize,
    ) -> Result<Self, String> {
        let bytes = byte_count(element, &shape)?;
        let found = end
            .checked_sub(start)
            .ok_or_else(|| format!("offsets [{start}, {end}] run backwards"))?;
        if bytes != found {
            return Err(format!(
                "shape {shape:?} of {element:?} takes {bytes} bytes, the offsets give it {found}"
            ));
        }
        Ok(Self {
            element,
            start,
            shape,
            strides: None,
        })
    }

    /// A view into the `available` bytes from `base`: its first element is element `offset`, its
    /// `strides` count elements.
    ///
    /// `largest` bounds the bytes of the gathered tensor, which may exceed the buffer's where
    /// elements repeat.
    pub(crate) fn strided(
        element: ElementType,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        (base, available): (usize, usize),
        largest: usize,
    ) -> Result<Self, String> {
        if shape.len() != strides.len() {
            return Err(format!(
                "shape {shape:?} has {} dimensions, strides {strides:?} have {}",
                shape.len(),
                strides.len()
            ));
        }
        let bytes = byte_count(element, &shape)?;
        if bytes == 0 {
            return Ok(Self {
                element,
                start: base,
                shape,
                strides: None,
            });
        }
        let size = element.bits() / 8;
        let end = last_element(&shape, &strides)
            .and_then(|last| last.checked_add(offset)?.checked_add(1)?.checked_mul(size))
            .ok_or_else(|| {
                format!("shape {shape:?} with strides {strides:?} at offset {offset} is beyond any memory")
            })?;
        if end > available {
            return Err(format!(
                "shape {shape:?} with strides {strides:?} at offset {offset} needs a storage of {end} bytes, it has {available}"
            ));
        }
        if bytes > largest {
            return Err(format!(
                "shape {shape:?} takes {bytes} bytes, {largest} are left of what the tensors of this file may take together"
            ));
        }
        let strides = (!is_contiguous(&shape, &strides)).then(|| used_strides(&shape, strides));
        Ok(Self {
            element,
            start: base + offset * size,
            shape,
            strides,
        })
    }

    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of the gathered tensor.
    pub(crate) fn byte_count(&self) -> usize {
        byte_count(self.element, &self.shape).expect("it was counted when the layout was made")
    }

    /// The elements in row-major order; `buffer` must be the one this layout was checked against.
    pub(crate) fn gather<'a>(&self, buffer: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let size = self.element.bits() / 8;
        let count: usize = self.shape.iter().product();
        let Some(strides) = &self.strides else {
            let bytes = self.start
                ..self
                    .start
                    .checked_add(count.checked_mul(self.element.bits())?.div_ceil(8))?;
            return buffer.get(bytes).map(Cow::Borrowed);
        };
        let mut gathered = Vec::with_capacity(count * size);
        let mut index = vec![0; self.shape.len()];
        let mut position = self.start;
        for _ in 0..count {
            gathered.extend_from_slice(buffer.get(position..position + size)?);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                position += strides[axis] * size;
                if index[axis] < self.shape[axis] {
                    break;
                }
                position -= strides[axis] * size * index[axis];
                index[axis] = 0;
            }
        }
        Some(Cow::Owned(gathered))
    }
}

/// Bytes of a contiguous tensor of `shape`.
///
/// Dimensions of zero count as one for the overflow check, since whoever computes strides
/// multiplies the others.
fn byte_count(element: ElementType, shape: &[usize]) -> Result<usize, String> {
    let too_large = || format!("shape {shape:?} of {element:?} is beyond any memory");
    let nonzero = shape.iter().try_fold(element.bits(), |product, &dim| {
        product.checked_mul(dim.max(1))
    });
    let bits = nonzero
        .filter(|&bits| bits <= isize::MAX as usize)
        .ok_or_else(too_large)?;
    let bits = if shape.contains(&0) { 0 } else { bits };
    if bits % 8 != 0 {
        return Err(format!(
            "shape {shape:?} of {element:?} takes {bits} bits, which is no whole number of bytes"
        ));
    }
    Ok(bits / 8)
}

/// Distance in elements from the first to the furthest element of a non-empty view.
fn last_element(shape: &[usize], strides: &[usize]) -> Option<usize> {
    shape
        .iter()
        .zip(strides)
        .try_fold(0usize, |sum, (&dim, &stride)| {
            sum.checked_add((dim - 1).checked_mul(stride)?)
        })
}

/// Strides of dimensions of one are never walked and may be anything: zero keeps the arithmetic of
/// `gather` in bounds.
fn used_strides(shape: &[usize], mut strides: Vec<usize>) -> Vec<usize> {
    strides
        .iter_mut()
        .zip(shape)
        .filter(|&(_, &dim)| dim == 1)
        .for_each(|(stride, _)| *stride = 0);
    strides
}

fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&dim, &stride)| {
        let fits = dim == 1 || stride == expected;
        expected *= dim;
        fits
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn view(
        shape: &[usize],
        strides: &[usize],
        offset: usize,
        bytes: usize,
    ) -> Result<Layout, String> {
        Layout::strided(
            ElementType::U8,
            shape.to_vec(),
            strides.to_vec(),
            offset,
            (0, bytes),
            64,
        )
    }

    type Case<'a, T> = (&'a [usize], &'a [usize], usize, T);

    #[test]
    fn gathers_in_row_major_order() {
        let buffer: Vec<u8> = (0..24).collect();
        let cases: [Case<'_, &[u8]>; 7] = [
            (&[2, 3], &[3, 1], 0, &[0, 1, 2, 3, 4, 5]),
            (&[3, 2], &[1, 3], 0, &[0, 3, 1, 4, 2, 5]),
            (&[2, 1, 2], &[5, usize::MAX, 2], 4, &[4, 6, 9, 11]),
            (&[2, 3], &[0, 1], 7, &[7, 8, 9, 7, 8, 9]),
            (&[], &[], 23, &[23]),
            (&[2, 0, 3], &[0, 3, 1], 99, &[]),
            (&[3], &[11], 1, &[1, 12, 23]),
        ];
        for (shape, strides, offset, expected) in cases {
            let layout = view(shape, strides, offset, buffer.len()).unwrap();
            assert_eq!(
                layout.gather(&buffer).unwrap(),
                expected,
                "{shape:?} {strides:?} {offset}"
            );
        }
    }

    #[test]
    fn views_beyond_their_buffer_are_errors() {
        let cases: [Case<'_, &str>; 6] = [
            (&[4], &[8], 0, "needs a storage of 25 bytes, it has 24"),
            (&[1], &[1], 24, "needs a storage of 25 bytes, it has 24"),
            (&[2], &[1, 1], 0, "1 dimensions"),
            (&[usize::MAX, 2], &[0, 0], 0, "beyond any memory"),
            (&[0, usize::MAX, 2], &[1, 1, 1], 0, "beyond any memory"),
            (&[65], &[0], 0, "takes 65 bytes, 64 are left"),
        ];
        for (shape, strides, offset, message) in cases {
            let error = view(shape, strides, offset, 24).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        assert!(
            view(&[2], &[usize::MAX], 5, 24)
                .unwrap_err()
                .contains("beyond any memory")
        );
    }

    #[test]
    fn elements_below_a_byte_count_in_bits() {
        let element = ElementType::Other {
            name: "F4",
            bits: 4,
        };
        assert!(Layout::contiguous(element, vec![2, 3], 0, 3).is_ok());
        assert!(
            Layout::contiguous(element, vec![3], 0, 2)
                .unwrap_err()
                .contains("12 bits")
        );
    }
}
