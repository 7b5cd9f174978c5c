//! Plain arrays, which the compiler turns into whatever the target guarantees (SSE2, NEON).
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use crate::machine::integers::{Integers, Requantize, byte_of};

/// Four lanes, 16 bytes.
#[derive(Clone, Copy)]
pub(crate) struct PortableIntegers([i32; 4]);

impl PortableIntegers {
    #[inline(always)]
    fn bytes(self) -> [u8; 16] {
        std::array::from_fn(|index| self.0[index / 4].to_ne_bytes()[index % 4])
    }

    #[inline(always)]
    fn of_bytes(bytes: [u8; 16]) -> Self {
        Self(std::array::from_fn(|lane| {
            i32::from_ne_bytes(std::array::from_fn(|byte| bytes[4 * lane + byte]))
        }))
    }
}

impl Integers for PortableIntegers {
    type Floats = [f32; 4];
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const i32) -> Self {
        Self(from.cast::<[i32; 4]>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut i32, count: usize) {
        std::ptr::copy_nonoverlapping(self.0.as_ptr(), to, count);
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> Self {
        Self::load(from.cast())
    }
    #[inline(always)]
    unsafe fn load_first_bytes(from: *const u8, count: usize) -> Self {
        let mut bytes = [0; 16];
        std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
        Self::of_bytes(bytes)
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8) {
        to.cast::<[i32; 4]>().write_unaligned(self.0);
    }
    #[inline(always)]
    unsafe fn store_first_bytes(self, to: *mut u8, count: usize) {
        std::ptr::copy_nonoverlapping(self.bytes().as_ptr(), to, count);
    }
    #[inline(always)]
    unsafe fn splat_quad(from: *const u8) -> Self {
        Self::splat(from.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn add_dot(self, bytes: Self, weights: Self) -> Self {
        let bytes = bytes.bytes();
        let weights = weights.bytes();
        let product = |index: usize| i32::from(bytes[index]) * i32::from(weights[index] as i8);
        Self(std::array::from_fn(|lane| {
            (4 * lane..4 * lane + 4)
                .fold(self.0[lane], |sum, index| sum.wrapping_add(product(index)))
        }))
    }
    #[inline(always)]
    unsafe fn interleave(rows: [Self; 4]) -> [Self; 4] {
        let rows: [[u8; 16]; 4] = std::array::from_fn(|row| rows[row].bytes());
        std::array::from_fn(|register| {
            Self(std::array::from_fn(|lane| {
                let byte = byte_of(register, lane);
                i32::from_ne_bytes(std::array::from_fn(|row| rows[row][byte]))
            }))
        })
    }
    #[inline(always)]
    unsafe fn load_floats(from: *const f32) -> [f32; 4] {
        from.cast::<[f32; 4]>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn scaled(self, factors: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| self.0[lane] as f32 * factors[lane])
    }
    #[inline(always)]
    unsafe fn load_as_lanes(from: *const u8, count: usize) -> Self {
        Self(std::array::from_fn(|lane| {
            if lane < count {
                i32::from(*from.add(lane))
            } else {
                0
            }
        }))
    }
    #[inline(always)]
    unsafe fn add_scaled(floats: [f32; 4], values: Self, zero_point: i32, factor: f32) -> [f32; 4] {
        std::array::from_fn(|lane| floats[lane] + (values.0[lane] - zero_point) as f32 * factor)
    }
    #[inline(always)]
    unsafe fn gathered(floats: [[f32; 4]; 4], to: &Requantize) -> Self {
        let mut bytes = [0; 16];
        for (register, floats) in floats.iter().enumerate() {
            for (lane, &scaled) in floats.iter().enumerate() {
                bytes[byte_of(register, lane)] = to.byte(scaled);
            }
        }
        Self::of_bytes(bytes)
    }
    #[inline(always)]
    unsafe fn store_gathered(self, to: [*mut u8; 4], counts: [usize; 4]) {
        let bytes = self.bytes();
        for (register, (to, count)) in to.into_iter().zip(counts).enumerate() {
            for lane in 0..count {
                *to.add(lane) = bytes[byte_of(register, lane)];
            }
        }
    }
}
