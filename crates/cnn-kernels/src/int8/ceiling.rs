//! What the processor could do at most with bytes.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use std::hint::black_box;
use std::time::Instant;

use crate::int8::microkernel::Microkernels;
use crate::machine::integers::{Integers, MAX_INTEGER_LANES};
use crate::machine::parallel;

/// Steps of the loop that is timed, a fraction of a millisecond, and its independent sums: enough
/// to hide the latency of each.
const STEPS: usize = 300_000;
const SUMS: usize = 12;

/// Operations per second of dot products of bytes in registers on all threads, a multiply-add
/// counted as two, with the process's instruction set. Takes a fraction of a millisecond: as the
/// speed of a machine changes from one moment to the next, measure before and after what is
/// compared.
pub fn peak_int8_ops() -> f64 {
    let kernels = Microkernels::current();
    let start = Instant::now();
    parallel::for_each(rayon::current_num_threads(), |_| {
        // SAFETY: the set is one that the processor has.
        unsafe { (kernels.dot_products)() };
    });
    let products = rayon::current_num_threads() * 4 * kernels.lanes * SUMS * STEPS;
    2. * products as f64 / start.elapsed().as_secs_f64()
}

/// # Safety
/// As [`Integers`].
#[inline(always)]
pub(crate) unsafe fn dot_products<R: Integers>() {
    let bytes = R::splat(black_box(0x0102_0304));
    let weights = R::splat(black_box(0x0102_0304));
    let mut sums = [R::splat(0); SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = sum.add_dot(bytes, weights);
        }
    }
    for sum in sums {
        let mut lanes = [0; MAX_INTEGER_LANES];
        sum.store_first(lanes.as_mut_ptr(), R::LANES);
        black_box(lanes);
    }
}
