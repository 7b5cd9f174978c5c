//! What the processor could do at most: multiply-adds in registers, and copies in memory.
#![allow(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel;
use crate::machine::simd::Simd;

/// Steps of the loop that measures multiply-adds, a fraction of a millisecond, and its independent
/// sums: enough to hide the latency of each.
const STEPS: usize = 300_000;
const SUMS: usize = 12;

/// Floating-point operations per second of multiply-adds in registers on all threads, with the
/// process's instruction set. Takes a fraction of a millisecond: as the speed of a machine changes
/// from one moment to the next, measure before and after what is compared.
pub fn peak_flops() -> f64 {
    let start = Instant::now();
    let lanes = parallel::map(rayon::current_num_threads(), |_| {
        let mut lanes = 0;
        vectorised(MultiplyAdds { lanes: &mut lanes });
        lanes
    });
    let lanes: usize = lanes.into_iter().sum();
    2. * (lanes * SUMS * STEPS) as f64 / start.elapsed().as_secs_f64()
}

struct MultiplyAdds<'a> {
    lanes: &'a mut usize,
}

impl Loop for MultiplyAdds<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        // SAFETY: `S` is what the caller is compiled for.
        unsafe {
            let x = S::splat(black_box(0.5));
            let y = S::splat(black_box(1.));
            let mut sums = [y; SUMS];
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = y.add_product(x, *sum);
                }
            }
            let sum = sums
                .into_iter()
                .fold(S::splat(0.), |sum, next| sum.add(next));
            let mut values = [0f32; crate::machine::simd::MAX_LANES];
            sum.store(values.as_mut_ptr());
            black_box(values);
        }
        *self.lanes = S::LANES;
    }
}

/// Floats of a block of the copy.
const BLOCK: usize = 1 << 14;

/// Bytes read and written per second by a copy on all threads that reads and writes `bytes` in all,
/// from and to memory that was touched before: the second of two copies after another is timed
/// until ten milliseconds have passed.
pub fn copy_bandwidth(bytes: usize) -> f64 {
    let floats = (bytes / 8).max(BLOCK);
    let from = vec![1f32; floats];
    let mut to = vec![0f32; floats];
    let mut copy = || {
        parallel::for_each_chunk(&mut to, BLOCK, |start, to| {
            vectorised(Copy {
                from: &from[start..start + to.len()],
                to,
            })
        });
    };
    copy();
    let start = Instant::now();
    let mut copies = 0;
    let mut best = f64::INFINITY;
    while copies < 3 || start.elapsed().as_secs_f64() < 0.01 {
        let start = Instant::now();
        copy();
        best = best.min(start.elapsed().as_secs_f64());
        copies += 1;
    }
    black_box(&to);
    (8 * floats) as f64 / best
}

struct Copy<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Loop for Copy<'_> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (to, from) in self
            .to
            .chunks_exact_mut(S::LANES)
            .zip(self.from.chunks_exact(S::LANES))
        {
            // SAFETY: both are a register long.
            unsafe { S::load(from.as_ptr()).store(to.as_mut_ptr()) };
        }
    }
}
