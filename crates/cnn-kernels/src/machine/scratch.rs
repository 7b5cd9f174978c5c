//! Working memory that a thread keeps between calls: aligned to cache lines, not initialised.

use std::cell::RefCell;
use std::mem::MaybeUninit;

/// One cache line, the widest register.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "only reached through pointers")] [f32; LINE]);

const LINE: usize = 16;

/// Buffers that a thread keeps for its next call, and the lines of the largest worth keeping (64
/// MiB).
const KEPT: usize = 4;
const LARGEST_KEPT: usize = 1 << 20;

thread_local! {
    static FREE: RefCell<Vec<Vec<MaybeUninit<Line>>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of floats with arbitrary contents; goes back to the thread that drops it.
pub(crate) struct Scratch(Vec<MaybeUninit<Line>>);

impl Scratch {
    /// A buffer of at least `len` floats, aligned to 64 bytes.
    pub(crate) fn take(len: usize) -> Self {
        let lines = len.div_ceil(LINE);
        let mut buffer = FREE.with_borrow_mut(|free| {
            let fitting = free
                .iter()
                .position(|buffer| buffer.capacity() >= lines)
                .or(free.len().checked_sub(1));
            fitting
                .map(|index| free.swap_remove(index))
                .unwrap_or_default()
        });
        if buffer.capacity() < lines {
            buffer = Vec::with_capacity(lines);
        }
        Self(buffer)
    }

    /// The first float. What has not been written must not be read.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // At the end of a thread its store may be gone already; then the buffer is freed.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT && buffer.capacity() <= LARGEST_KEPT {
                free.push(buffer);
                free.sort_by_key(Vec::capacity);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_used_again() {
        let mut first = Scratch::take(1000);
        let address = first.as_mut_ptr();
        assert_eq!(address.addr() % 64, 0);
        let mut second = Scratch::take(10);
        assert_ne!(second.as_mut_ptr(), address);
        drop((first, second));
        assert_eq!(Scratch::take(900).as_mut_ptr(), address);
    }
}
