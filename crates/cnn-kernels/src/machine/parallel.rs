//! Tasks on a few threads, of which the caller is one.
//!
//! rayon hands all work to its pool and puts a caller from outside to sleep: waking its threads and
//! then the caller costs more than many an operation takes, and operations follow each other
//! closely. Here the caller works along, and the other threads wait for the next operation awake
//! for a moment. How many take part is rayon's number of threads.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::hint;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a thread looks again before it lets others have its processor: some microseconds.
const SPINS: usize = 64;
/// How long a thread waits for the next operation before it sleeps.
const AWAKE: Duration = Duration::from_micros(200);

/// Tasks into which work is cut whose result does not depend on where: a few for each thread, so
/// that none waits long for another.
pub(crate) fn wanted_tasks() -> usize {
    4 * rayon::current_num_threads()
}

/// Runs `task(0)`, `task(1)`, … up to `count` in any order on any thread; returns when all are
/// done. If tasks panic, so does this.
pub(crate) fn for_each(count: usize, task: impl Fn(usize) + Sync) {
    let helpers = rayon::current_num_threads().min(count).saturating_sub(1);
    if helpers == 0 {
        return (0..count).for_each(task);
    }
    let task: &(dyn Fn(usize) + Sync) = &task;
    // SAFETY: only the lifetime changes. A thread calls the task only with a number below `count`
    // that it has drawn, and this function does not return before as many calls have ended as there
    // are numbers.
    let task: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
    let parts = helpers as u64 + 1;
    let all = u64::try_from(count).unwrap_or(u64::MAX);
    let bounds = |part: u64| part * all / parts;
    let work = Arc::new(Job {
        task,
        ranges: (0..parts)
            .map(|part| AtomicU64::new(bounds(part) << 32 | bounds(part + 1)))
            .collect(),
        joined: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        panic: Mutex::default(),
    });
    HELPERS.invite(&work, helpers);
    work.help();
    let mut spins = 0;
    while work.done.load(Ordering::Acquire) < count {
        spins += 1;
        if spins < SPINS {
            hint::spin_loop()
        } else {
            thread::yield_now()
        }
    }
    let panic = locked(&work.panic).take();
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

struct Job {
    task: &'static (dyn Fn(usize) + Sync),
    /// The numbers that are left in each thread's share: the first, and that behind the last, in
    /// the upper and lower half. Neighbouring tasks stay with one thread, which then finds in its
    /// cache what it wrote in the operation before.
    ranges: Vec<AtomicU64>,
    /// Threads that have joined.
    joined: AtomicUsize,
    /// Tasks that have run.
    done: AtomicUsize,
    /// The first panic.
    panic: Mutex<Option<Box<dyn std::any::Any + Send>>>,
}

impl Job {
    fn help(&self) {
        let mine = self.joined.fetch_add(1, Ordering::Relaxed);
        let parts = self.ranges.len();
        for part in (mine..mine + parts).map(|part| part % parts) {
            // The own share from its start, those of others from their ends.
            while let Some(number) = self.draw(part, part == mine) {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.task)(number))) {
                    locked(&self.panic).get_or_insert(panic);
                }
                self.done.fetch_add(1, Ordering::Release);
            }
        }
    }

    fn draw(&self, part: usize, first: bool) -> Option<usize> {
        let taken = |range: u64| {
            let start = range >> 32;
            let end = range & u64::from(u32::MAX);
            (start < end).then(|| {
                if first {
                    (start + 1) << 32 | end
                } else {
                    start << 32 | (end - 1)
                }
            })
        };
        let range = self.ranges[part]
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken)
            .ok()?;
        Some(if first {
            range >> 32
        } else {
            (range & u64::from(u32::MAX)) - 1
        } as usize)
    }
}

/// The threads that help.
static HELPERS: Helpers = Helpers {
    queue: Mutex::new(VecDeque::new()),
    waiting: AtomicUsize::new(0),
    woken: Condvar::new(),
    threads: Mutex::new(0),
};

struct Helpers {
    /// One entry for each thread that is asked to help.
    queue: Mutex<VecDeque<Arc<Job>>>,
    /// Its length, to be looked at without the lock.
    waiting: AtomicUsize,
    woken: Condvar,
    /// How many have been started.
    threads: Mutex<usize>,
}

impl Helpers {
    fn invite(&'static self, work: &Arc<Job>, helpers: usize) {
        let mut threads = locked(&self.threads);
        while *threads < helpers {
            let name = format!("cnn-kernels {threads}");
            // Without another thread, the caller does it all.
            if thread::Builder::new()
                .name(name)
                .spawn(|| self.serve())
                .is_err()
            {
                break;
            }
            *threads += 1;
        }
        drop(threads);
        let mut queue = locked(&self.queue);
        queue.extend(std::iter::repeat_n(work.clone(), helpers));
        self.waiting.store(queue.len(), Ordering::Release);
        drop(queue);
        (0..helpers).for_each(|_| self.woken.notify_one());
    }

    fn serve(&self) {
        loop {
            self.next().help();
        }
    }

    fn next(&self) -> Arc<Job> {
        let start = Instant::now();
        loop {
            let mut spins = 0;
            while self.waiting.load(Ordering::Acquire) == 0 && spins < SPINS {
                hint::spin_loop();
                spins += 1;
            }
            if spins == SPINS {
                thread::yield_now();
            }
            let asleep = start.elapsed() > AWAKE;
            if self.waiting.load(Ordering::Acquire) == 0 && !asleep {
                continue;
            }
            let mut queue = locked(&self.queue);
            while asleep && queue.is_empty() {
                queue = self
                    .woken
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if let Some(work) = queue.pop_front() {
                self.waiting.store(queue.len(), Ordering::Release);
                return work;
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The results of `task(0)`, `task(1)`, … in order.
pub(crate) fn map<T: Send>(count: usize, task: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let slots: Vec<Mutex<Option<T>>> = (0..count).map(|_| Mutex::new(None)).collect();
    for_each(count, |number| {
        let result = task(number);
        *locked(&slots[number]) = Some(result);
    });
    let result = |slot: Mutex<Option<T>>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
    slots
        .into_iter()
        .map(|slot| result(slot).expect("every task has run"))
        .collect()
}

/// Runs `task` on consecutive chunks of the values, with the place of the chunk's first value.
pub(crate) fn for_each_chunk<T: Send>(
    values: &mut [T],
    chunk: usize,
    task: impl Fn(usize, &mut [T]) + Sync,
) {
    let chunk = chunk.max(1);
    let len = values.len();
    let shared = Chunks {
        start: values.as_mut_ptr(),
        values: PhantomData::<&mut [T]>,
    };
    for_each(len.div_ceil(chunk), |number| {
        let first = number * chunk;
        // SAFETY: the chunks lie in the values and do not overlap.
        let part =
            unsafe { std::slice::from_raw_parts_mut(shared.at(first), chunk.min(len - first)) };
        task(first, part);
    });
}

struct Chunks<'a, T> {
    start: *mut T,
    values: PhantomData<&'a mut [T]>,
}

impl<T> Chunks<'_, T> {
    unsafe fn at(&self, index: usize) -> *mut T {
        // SAFETY: the caller's promise that the index lies in the values.
        unsafe { self.start.add(index) }
    }
}

// SAFETY: each chunk is handed to one thread only, and its values may be sent there.
unsafe impl<T: Send> Sync for Chunks<'_, T> {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(work)
    }

    #[test]
    fn every_task_runs_once_and_results_keep_their_order() {
        for threads in [1, 2, 5] {
            let squares = with_threads(threads, || map(1000, |number| number * number));
            assert_eq!(
                squares,
                (0..1000).map(|number| number * number).collect::<Vec<_>>()
            );
            let mut values = vec![0; 1001];
            with_threads(threads, || {
                for_each_chunk(&mut values, 10, |first, part| {
                    part.iter_mut()
                        .enumerate()
                        .for_each(|(index, value)| *value += first + index);
                })
            });
            assert_eq!(values, (0..1001).collect::<Vec<_>>());
        }
        for_each(0, |_| panic!("there is nothing to do"));
        assert!(map(0, |number| number).is_empty());
    }

    #[test]
    fn nested_tasks_and_several_callers_end() {
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for_each(20, |_| {
                        for_each(10, |number| _ = sum.fetch_add(number, Ordering::Relaxed))
                    })
                });
            }
        });
        assert_eq!(sum.into_inner(), 3 * 20 * 45);
    }

    #[test]
    fn a_panic_reaches_the_caller_after_the_other_tasks() {
        let ran = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            for_each(50, |number| {
                ran.fetch_add(1, Ordering::Relaxed);
                assert_ne!(number, 7, "unlucky");
            });
        }));
        assert!(
            result
                .unwrap_err()
                .downcast_ref::<String>()
                .unwrap()
                .contains("unlucky")
        );
        assert!(ran.into_inner() == 50 || rayon::current_num_threads() == 1);
    }
}
