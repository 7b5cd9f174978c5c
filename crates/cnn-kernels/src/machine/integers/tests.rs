//! Each register against plain arithmetic.
#![allow(clippy::unwrap_used)]

use super::*;

/// The methods that other code reaches only together, on one register.
unsafe fn check<R: Integers>() {
    // SAFETY: the caller's promise; all arrays are as long as the widest register.
    unsafe {
        let bytes: [u8; 4 * MAX_INTEGER_LANES] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        let all = 4 * R::LANES;
        for count in 0..=all {
            let mut out = [7u8; 4 * MAX_INTEGER_LANES];
            R::load_first_bytes(bytes.as_ptr(), count).store_bytes(out.as_mut_ptr());
            assert!((0..all).all(|i| out[i] == if i < count { bytes[i] } else { 0 }));
            let mut out = [7u8; 4 * MAX_INTEGER_LANES];
            R::load_bytes(bytes.as_ptr()).store_first_bytes(out.as_mut_ptr(), count);
            assert!((0..out.len()).all(|i| out[i] == if i < count { bytes[i] } else { 7 }));
        }
        let rows: [[u8; 4 * MAX_INTEGER_LANES]; 4] =
            std::array::from_fn(|row| bytes.map(|byte| byte.wrapping_mul(row as u8 + 1)));
        let registers = R::interleave(std::array::from_fn(|row| R::load_bytes(rows[row].as_ptr())));
        for (register, lanes) in registers.iter().enumerate() {
            let mut out = [0i32; MAX_INTEGER_LANES];
            lanes.store_first(out.as_mut_ptr(), R::LANES);
            for (lane, out) in out.iter().enumerate().take(R::LANES) {
                let column = rows.map(|row| row[byte_of(register, lane)]);
                assert_eq!(out.to_le_bytes(), column);
            }
        }
        for count in 0..=R::LANES {
            let mut out = [7i32; MAX_INTEGER_LANES];
            let lanes = R::load_as_lanes(bytes.as_ptr(), count);
            lanes.store_first(out.as_mut_ptr(), R::LANES);
            assert!(
                (0..R::LANES).all(|i| out[i] == if i < count { i32::from(bytes[i]) } else { 0 })
            );
            let mut out = [7i32; MAX_INTEGER_LANES];
            lanes.store_first(out.as_mut_ptr(), count);
            assert!(
                (0..out.len()).all(|i| out[i] == if i < count { i32::from(bytes[i]) } else { 7 })
            );
        }
        check_rounding::<R>();
    }
}

/// Sums, their halves rounded, and halves far beyond i32.
unsafe fn check_rounding<R: Integers>() {
    const SUMS: [i32; 16] = [
        0, 1, 3, 5, -1, -3, -5, 1000, -1000, 308, 310, 7, 200, -199, 150, 9,
    ];
    for (far, factor, low) in [
        (false, 0.5, 3),
        (true, 0.5, 0),
        (true, 1e30, 0),
        (true, 1e30, 100),
    ] {
        let to = Requantize {
            zero_point: 100,
            low,
            high: 250,
            far,
        };
        let sums: [i32; 4 * MAX_INTEGER_LANES] = std::array::from_fn(|i| SUMS[i * 7 % 16]);
        // SAFETY: the caller's promise; a register of sums lies behind each place.
        let registers = unsafe {
            let factor = [factor; MAX_INTEGER_LANES];
            let floats = std::array::from_fn(|v| {
                R::load(sums[v * R::LANES..].as_ptr()).scaled(R::load_floats(factor.as_ptr()))
            });
            let mut registers = [[7u8; MAX_INTEGER_LANES]; 4];
            let [a, b, c, d] = &mut registers;
            let to_registers = [a, b, c, d].map(|register| register.as_mut_ptr());
            let counts = [R::LANES, 1, 0, R::LANES - 1];
            R::gathered(floats, &to).store_gathered(to_registers, counts);
            registers
        };
        for (v, count) in [R::LANES, 1, 0, R::LANES - 1].into_iter().enumerate() {
            for (lane, &found) in registers[v].iter().enumerate() {
                let sum = f64::from(sums[v * R::LANES + lane % R::LANES]);
                let expected = (sum * f64::from(factor)).round_ties_even() + 100.;
                let expected = expected.clamp(f64::from(low), 250.) as u8;
                let expected = if lane < count { expected } else { 7 };
                assert_eq!(
                    found, expected,
                    "{sum} · {factor}, register {v}, lane {lane}"
                );
            }
        }
    }
}

#[test]
fn registers_do_what_plain_arithmetic_does() {
    // SAFETY: only sets that the processor has.
    unsafe {
        check::<PortableIntegers>();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                check::<Avx2Integers>();
            }
            if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                check::<Avx512Integers>();
                check::<HalfIntegers>();
            }
        }
    }
}
