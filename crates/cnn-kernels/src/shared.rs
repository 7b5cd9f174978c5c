//! A buffer that parallel tasks fill, each its own part, without zeroing it first.
#![allow(unsafe_code)]

/// A pointer that tasks on several threads write through.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: the pointer is only a number here; whoever writes through it promises to be the only one at that place.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Wraps the start of a buffer.
    pub(crate) fn new(start: *mut f32) -> Self {
        Self(start)
    }

    /// The place `offset` floats after the start.
    ///
    /// # Safety
    /// `offset` lies in the buffer or at its end.
    pub(crate) unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// A vector of `len` values that `fill` writes.
///
/// # Safety
/// `fill` writes every element and nothing outside.
pub(crate) unsafe fn filled(len: usize, fill: impl FnOnce(Shared)) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    fill(Shared(values.as_mut_ptr()));
    // SAFETY: the capacity is `len`, and `fill` has written every element.
    unsafe { values.set_len(len) };
    values
}
