//! Large buffers used again: the system's allocator would give each back to the system, and the
//! next operation would wait for fresh, zeroed pages.

use std::any::{Any, TypeId};
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of the smallest buffer worth keeping.
const LEAST: usize = 1 << 16;
/// A buffer that nobody has taken while so many others were is freed; a training step of a large
/// network takes about a thousand.
const PATIENCE: u64 = 4096;

/// Values that were computed here; their memory is used again.
#[derive(Clone)]
pub(crate) struct Buffer<T: 'static>(Vec<T>);

impl<T> Buffer<T> {
    /// Values that one owner may read and write.
    pub(crate) fn new(values: Vec<T>) -> Self {
        Self(values)
    }

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

struct Idle<T> {
    /// With the time since when each waits.
    buffers: Vec<(Vec<T>, u64)>,
    /// Buffers taken so far.
    time: u64,
}

static FLOATS: Mutex<Idle<f32>> = Mutex::new(Idle::NOTHING);
static BYTES: Mutex<Idle<u8>> = Mutex::new(Idle::NOTHING);

/// An empty vector with room for `len` values.
pub(crate) fn take<T: 'static>(len: usize) -> Vec<T> {
    if len < Idle::<T>::LEAST {
        return Vec::with_capacity(len);
    }
    let found = if TypeId::of::<T>() == TypeId::of::<f32>() {
        same_type(locked(&FLOATS).take(len))
    } else if TypeId::of::<T>() == TypeId::of::<u8>() {
        same_type(locked(&BYTES).take(len))
    } else {
        None
    };
    found.flatten().unwrap_or_else(|| Vec::with_capacity(len))
}

/// Keeps the memory of a vector that is no longer needed.
pub(crate) fn give<T: 'static>(values: Vec<T>) {
    if values.capacity() < Idle::<T>::LEAST {
        return;
    }
    if TypeId::of::<T>() == TypeId::of::<f32>() {
        if let Some(values) = same_type(values) {
            locked(&FLOATS).give(values);
        }
    } else if TypeId::of::<T>() == TypeId::of::<u8>()
        && let Some(values) = same_type(values)
    {
        locked(&BYTES).give(values);
    }
}

fn locked<T>(idle: &Mutex<Idle<T>>) -> MutexGuard<'_, Idle<T>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value, if `A` is `B`.
fn same_type<A: 'static, B: 'static>(value: A) -> Option<B> {
    let mut value = Some(value);
    (&mut value as &mut dyn Any)
        .downcast_mut::<Option<B>>()
        .and_then(Option::take)
}

impl<T> Idle<T> {
    const NOTHING: Self = Self {
        buffers: Vec::new(),
        time: 0,
    };
    /// Values of the smallest buffer worth keeping.
    const LEAST: usize = LEAST / size_of::<T>();

    fn take(&mut self, len: usize) -> Option<Vec<T>> {
        self.time += 1;
        let fits = |(_, (buffer, _)): &(usize, &(Vec<T>, u64))| {
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

    fn give(&mut self, mut values: Vec<T>) {
        values.clear();
        let time = self.time;
        self.buffers.push((values, time));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn buffers_that_fit_come_again_and_old_ones_go() {
        const LEAST: usize = Idle::<f32>::LEAST;
        let mut idle = Idle::<f32>::NOTHING;
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

    #[test]
    fn bytes_come_again_too() {
        let values = vec![7u8; LEAST + 12345];
        let address = values.as_ptr();
        give(values);
        let again = take::<u8>(LEAST + 12345);
        assert!(again.is_empty() && again.as_ptr() == address);
    }
}
