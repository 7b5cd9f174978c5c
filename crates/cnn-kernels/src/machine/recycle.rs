//! Large buffers used again: the system's allocator would give each back to the system, and the
//! next operation would wait for fresh, zeroed pages.

use std::any::{Any, TypeId};
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Values of the smallest buffer worth keeping: 64 KiB.
const LEAST: usize = 1 << 14;
/// A buffer that nobody has taken while so many others were is freed; a training step of a large
/// network takes about a thousand.
const PATIENCE: u64 = 4096;

/// Values that were computed here; their memory is used again.
#[derive(Clone)]
pub(crate) struct Buffer<T: 'static>(Vec<T>);

impl<T> Buffer<T> {
    /// Values that several may read.
    pub(crate) fn shared(values: Vec<T>) -> Arc<Self> {
        Arc::new(Self(values))
    }

    /// The values as a vector of its own, copied if others read them too.
    pub(crate) fn into_vec(shared: Arc<Self>) -> Vec<T>
    where
        T: Clone,
    {
        mem::take(&mut Arc::unwrap_or_clone(shared).0)
    }
}

impl<T> Deref for Buffer<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        give(mem::take(&mut self.0));
    }
}

struct Idle {
    /// With the time since when each waits.
    buffers: Vec<(Vec<f32>, u64)>,
    /// Buffers taken so far.
    time: u64,
}

static IDLE: Mutex<Idle> = Mutex::new(Idle {
    buffers: Vec::new(),
    time: 0,
});

/// An empty vector with room for `len` values.
pub(crate) fn take<T: 'static>(len: usize) -> Vec<T> {
    if len < LEAST || TypeId::of::<T>() != TypeId::of::<f32>() {
        return Vec::with_capacity(len);
    }
    let mut buffer = IDLE
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take(len);
    let buffer = (&mut buffer as &mut dyn Any)
        .downcast_mut::<Option<Vec<T>>>()
        .and_then(Option::take);
    buffer.unwrap_or_else(|| Vec::with_capacity(len))
}

/// Keeps the memory of a vector that is no longer needed.
pub(crate) fn give<T: 'static>(values: Vec<T>) {
    let mut values = Some(values);
    let values = (&mut values as &mut dyn Any)
        .downcast_mut::<Option<Vec<f32>>>()
        .and_then(Option::take);
    if let Some(mut values) = values.filter(|values| values.capacity() >= LEAST) {
        values.clear();
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let time = idle.time;
        idle.buffers.push((values, time));
    }
}

impl Idle {
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        self.time += 1;
        let fits = |(_, (buffer, _)): &(usize, &(Vec<f32>, u64))| {
            (len..=len + len / 4).contains(&buffer.capacity())
        };
        let smallest = self
            .buffers
            .iter()
            .enumerate()
            .filter(fits)
            .min_by_key(|(_, (buffer, _))| buffer.capacity());
        let found = smallest.map(|(index, _)| index);
        if found.is_none() {
            let oldest = self.time.saturating_sub(PATIENCE);
            self.buffers.retain(|(_, since)| *since >= oldest);
        }
        found.map(|index| self.buffers.swap_remove(index).0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn buffers_that_fit_come_again_and_old_ones_go() {
        let mut idle = Idle {
            buffers: Vec::new(),
            time: 0,
        };
        assert!(idle.take(LEAST).is_none());
        idle.buffers
            .extend([3, 2, 1].map(|times| (Vec::with_capacity(times * LEAST), 1)));
        assert_eq!(
            idle.take(LEAST + LEAST / 8),
            None,
            "three quarters would lie idle"
        );
        assert_eq!(idle.take(2 * LEAST - 100).unwrap().capacity(), 2 * LEAST);
        assert_eq!(idle.take(LEAST).unwrap().capacity(), LEAST);
        idle.time += PATIENCE + 1;
        assert!(idle.take(LEAST).is_none() && idle.buffers.is_empty());
    }

    #[test]
    fn only_values_without_other_readers_are_taken_over() {
        let shared = Buffer::shared(vec![1f32; 3]);
        let copy = Buffer::into_vec(shared.clone());
        assert_ne!(copy.as_ptr(), shared.as_ptr());
        let address = shared.as_ptr();
        let values = Buffer::into_vec(shared);
        assert_eq!(values.as_ptr(), address);
        give(vec![1f64; LEAST]);
        assert_eq!(take::<f64>(5).capacity(), 5);
    }
}
