//! Buffers that parallel tasks fill, each its own part, without zeroing them first.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

use crate::machine::parallel::for_each_chunk;
use crate::machine::recycle;

/// A pointer that tasks on several threads write through.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T = f32>(*mut T);

// SAFETY: the pointer is only a number here; whoever writes through it promises to be the only one
// at that place.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Wraps the start of a buffer.
    pub(crate) fn new(start: *mut T) -> Self {
        Self(start)
    }

    /// The place `offset` values after the start.
    ///
    /// # Safety
    /// `offset` lies in the buffer or at its end.
    pub(crate) unsafe fn at(self, offset: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// Where a kernel writes a map: perhaps some channels of a wider one.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The first channel of the first pixel.
    pub(crate) start: Shared,
    /// Floats between neighbouring pixels.
    pub(crate) pixel: usize,
}

/// A vector of `len` values that `fill` writes.
///
/// # Safety
/// `fill` writes every element and nothing outside.
pub(crate) unsafe fn filled<T: 'static>(len: usize, fill: impl FnOnce(Shared<T>)) -> Vec<T> {
    let mut values = recycle::take(len);
    fill(Shared(values.as_mut_ptr()));
    // SAFETY: the capacity is `len`, and `fill` has written every element.
    unsafe { values.set_len(len) };
    values
}

/// A vector of `len` values that `fill` writes in parallel, `chunk` at a time: it gets the place of
/// the chunk's first value and the chunk.
///
/// # Safety
/// `fill` writes every element of the chunk.
pub(crate) unsafe fn filled_chunks<T: Copy + Send + 'static>(
    len: usize,
    chunk: usize,
    fill: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync,
) -> Vec<T> {
    let mut values = recycle::take(len);
    for_each_chunk(&mut values.spare_capacity_mut()[..len], chunk, fill);
    // SAFETY: the capacity is `len`, and `fill` has written every element.
    unsafe { values.set_len(len) };
    values
}
