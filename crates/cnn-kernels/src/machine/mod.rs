//! What the processor offers: instruction sets and registers, threads, memory that is used again, and
//! the clock.

pub(crate) mod ceilings;
pub(crate) mod integers;
pub(crate) mod isa;
pub(crate) mod parallel;
pub(crate) mod profile;
pub(crate) mod recycle;
pub(crate) mod register;
pub(crate) mod scratch;
pub(crate) mod shared;
pub(crate) mod simd;
pub(crate) mod vector_math;
