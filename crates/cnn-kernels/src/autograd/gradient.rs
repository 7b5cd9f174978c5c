//! Gradients on their way through a graph: summed and changed in place where nobody else reads
//! them.
#![allow(unsafe_code)]

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::autograd::element::Element;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel::for_each_chunk;
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;
use crate::machine::simd::Simd;

/// Elements per parallel task.
const CHUNK: usize = 1 << 14;

/// The gradient of an output, which a backward pass reads and may use up.
pub(crate) enum Gradient<'a, T: 'static> {
    /// Somebody else's.
    Borrowed(&'a [T]),
    /// Perhaps the last one of its owners.
    Shared(Arc<Buffer<T>>),
}

impl<T> Deref for Gradient<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Borrowed(values) => values,
            Self::Shared(values) => values,
        }
    }
}

impl<T: Element> Gradient<'_, T> {
    /// The same values to be kept.
    pub(crate) fn into_shared(self) -> Arc<Buffer<T>> {
        match self {
            Self::Borrowed(values) => Buffer::shared(values.to_vec()),
            Self::Shared(values) => values,
        }
    }

    /// The values after `update`, in parallel chunks: it gets the place of the chunk's first value
    /// and the chunk. In place if this is the last owner.
    pub(crate) fn updated(
        self,
        chunk: usize,
        update: impl Fn(usize, &mut [T]) + Sync,
    ) -> Arc<Buffer<T>> {
        let chunk = chunk.max(1);
        let shared = match self {
            Self::Borrowed(values) => Err(Gradient::Borrowed(values)),
            Self::Shared(values) => Arc::try_unwrap(values).map_err(Gradient::Shared),
        };
        match shared {
            Ok(mut values) => {
                for_each_chunk(&mut values, chunk, update);
                Arc::new(values)
            }
            // SAFETY: each chunk is copied whole.
            Err(values) => Buffer::shared(unsafe {
                filled_chunks(values.len(), chunk, |start, out| {
                    let out = out.write_copy_of_slice(&values[start..start + out.len()]);
                    update(start, out);
                })
            }),
        }
    }
}

/// Where the gradients of one map are summed while the graph is walked.
#[derive(Clone, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Sum>>>);

/// A sum of either element type.
pub(crate) enum Sum {
    F32(Arc<Buffer<f32>>),
    F64(Arc<Buffer<f64>>),
}

impl Slot {
    /// Adds a gradient.
    pub(crate) fn add<T: Element>(&self, gradient: Arc<Buffer<T>>) {
        let mut sum = self.lock();
        let gradient = match sum.take().and_then(T::of_sum) {
            None => gradient,
            Some(other) => added(other, gradient),
        };
        *sum = Some(T::into_sum(gradient));
    }

    /// The sum, which starts anew.
    pub(crate) fn take<T: Element>(&self) -> Option<Arc<Buffer<T>>> {
        self.lock().take().and_then(T::of_sum)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sum>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

fn added<T: Element>(a: Arc<Buffer<T>>, b: Arc<Buffer<T>>) -> Arc<Buffer<T>> {
    let (mine, other) = if Arc::strong_count(&a) == 1 {
        (a, b)
    } else {
        (b, a)
    };
    Gradient::Shared(mine).updated(CHUNK, |start, sums| {
        vectorised(AddTo {
            terms: &other[start..start + sums.len()],
            sums,
        });
    })
}

struct AddTo<'a, T> {
    sums: &'a mut [T],
    terms: &'a [T],
}

impl<T: Element> Loop for AddTo<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        self.sums
            .iter_mut()
            .zip(self.terms)
            .for_each(|(sum, &term)| *sum += term);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_gradient_that_others_read_is_copied_before_it_changes() {
        let double =
            |_: usize, values: &mut [f32]| values.iter_mut().for_each(|value| *value *= 2.);
        let shared = Buffer::shared(vec![1f32, 2., 3.]);
        assert_eq!(
            **Gradient::Shared(shared.clone()).updated(2, double),
            [2., 4., 6.]
        );
        assert_eq!(**shared, [1., 2., 3.]);
        let address = shared.as_ptr();
        let updated = Gradient::Shared(shared).updated(2, double);
        assert_eq!(
            (updated.as_ptr(), updated.as_slice()),
            (address, &[2f32, 4., 6.][..])
        );
    }

    #[test]
    fn a_slot_sums_without_changing_what_it_was_given() {
        let slot = Slot::default();
        let first = Buffer::shared(vec![1f64, 2.]);
        slot.add(first.clone());
        slot.add(first.clone());
        slot.add(Buffer::shared(vec![10., 20.]));
        assert_eq!(**slot.take::<f64>().unwrap(), [12., 24.]);
        assert_eq!(**first, [1., 2.]);
        assert!(slot.take::<f64>().is_none());
    }
}
