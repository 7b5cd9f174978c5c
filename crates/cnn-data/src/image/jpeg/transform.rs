//! The inverse cosine transform of libjpeg's default method, to the last bit: C. Loeffler,
//! A. Ligtenberg and G. Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications"
//! (1989), in fixed-point numbers with 13 binary places.

use std::num::Wrapping;

const PLACES: usize = 13;
/// Binary places that the first pass leaves for the second.
const KEPT_PLACES: usize = 2;

/// Writes the 8×8 samples of a block to `samples`, whose rows are `stride` apart.
pub(super) fn write_samples(
    coefficients: &[i16; 64],
    quantization: &[u16; 64],
    samples: &mut [u8],
    stride: usize,
) {
    if coefficients[1..]
        .iter()
        .all(|&coefficient| coefficient == 0)
    {
        let mean = Wrapping(i32::from(coefficients[0])) * Wrapping(quantization[0].into());
        let level = to_sample((mean + Wrapping(4)) >> 3);
        for row in samples.chunks_mut(stride).take(8) {
            row[..8].fill(level);
        }
        return;
    }
    let mut values = [ZERO; 64];
    for ((value, &coefficient), &step) in values.iter_mut().zip(coefficients).zip(quantization) {
        *value = Wrapping(i32::from(coefficient)) * Wrapping(step.into());
    }
    for x in 0..8 {
        let v = &mut values[x..x + 57];
        let column = [v[0], v[8], v[16], v[24], v[32], v[40], v[48], v[56]];
        let details =
            column[1] | column[2] | column[3] | column[4] | column[5] | column[6] | column[7];
        let column = if details == ZERO {
            [column[0] << KEPT_PLACES; 8]
        } else {
            transform::<{ PLACES - KEPT_PLACES }>(column)
        };
        for y in 0..8 {
            v[8 * y] = column[y];
        }
    }
    for (row, out) in values.as_chunks().0.iter().zip(samples.chunks_mut(stride)) {
        let row = transform::<{ PLACES + KEPT_PLACES + 3 }>(*row);
        let out = &mut out[..8];
        for x in 0..8 {
            out[x] = to_sample(row[x]);
        }
    }
}

/// A whole number that wraps around where a file's numbers are beyond what an encoder writes.
type Fixed = Wrapping<i32>;

const ZERO: Fixed = Wrapping(0);

#[inline(always)]
fn to_sample(value: Fixed) -> u8 {
    (value + Wrapping(128)).0.clamp(0, 255) as u8
}

/// Eight values transformed, with the lowest `SHIFT` places rounded away.
#[inline(always)]
fn transform<const SHIFT: usize>(values: [Fixed; 8]) -> [Fixed; 8] {
    let [v0, v1, v2, v3, v4, v5, v6, v7] = values;

    let both = (v2 + v6) * Wrapping(4_433);
    let even2 = both - v6 * Wrapping(15_137);
    let even3 = both + v2 * Wrapping(6_270);
    let half = Wrapping(1 << (SHIFT - 1));
    let even0 = ((v0 + v4) << PLACES) + half;
    let even1 = ((v0 - v4) << PLACES) + half;
    let even = [even0 + even3, even1 + even2, even1 - even2, even0 - even3];

    let all = (v7 + v3 + v5 + v1) * Wrapping(9_633);
    let z1 = (v7 + v1) * Wrapping(-7_373);
    let z2 = (v5 + v3) * Wrapping(-20_995);
    let z3 = (v7 + v3) * Wrapping(-16_069) + all;
    let z4 = (v5 + v1) * Wrapping(-3_196) + all;
    let odd0 = v1 * Wrapping(12_299) + z1 + z4;
    let odd1 = v3 * Wrapping(25_172) + z2 + z3;
    let odd2 = v5 * Wrapping(16_819) + z2 + z4;
    let odd3 = v7 * Wrapping(2_446) + z1 + z3;

    [
        (even[0] + odd0) >> SHIFT,
        (even[1] + odd1) >> SHIFT,
        (even[2] + odd2) >> SHIFT,
        (even[3] + odd3) >> SHIFT,
        (even[3] - odd3) >> SHIFT,
        (even[2] - odd2) >> SHIFT,
        (even[1] - odd1) >> SHIFT,
        (even[0] - odd0) >> SHIFT,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum that defines the transform (T.81, A.3.3), in floating-point numbers.
    fn by_definition(coefficients: &[i16; 64], quantization: &[u16; 64]) -> [f64; 64] {
        let scale = |k: usize| if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
        let cosine = |at: usize, k: usize| {
            ((2 * at + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
        };
        std::array::from_fn(|at| {
            let mut sum = 0.0;
            for v in 0..8 {
                for u in 0..8 {
                    let value =
                        f64::from(coefficients[8 * v + u]) * f64::from(quantization[8 * v + u]);
                    sum += scale(u) * scale(v) * value * cosine(at % 8, u) * cosine(at / 8, v);
                }
            }
            (sum / 4.0 + 128.0).clamp(0.0, 255.0)
        })
    }

    #[test]
    fn samples_are_those_of_the_definition() {
        let mut rng = cnn_core::Key::new(3).rng();
        for case in 0..200 {
            let mut coefficients = [0_i16; 64];
            let quantization = std::array::from_fn(|_| 1 + rng.below(9) as u16);
            for _ in 0..case % 12 {
                coefficients[rng.below(64) as usize] = rng.below(121) as i16 - 60;
            }
            let mut samples = [7_u8; 80];
            write_samples(&coefficients, &quantization, &mut samples, 10);
            let expected = by_definition(&coefficients, &quantization);
            for (at, expected) in expected.into_iter().enumerate() {
                let found = f64::from(samples[at / 8 * 10 + at % 8]);
                assert!((found - expected).abs() < 1.01, "case {case}, sample {at}");
            }
            assert!(samples.chunks(10).all(|row| row[8..] == [7, 7]));
        }
    }

    #[test]
    fn extreme_numbers_do_not_panic() {
        let mut samples = [0; 64];
        for value in [i16::MIN, i16::MAX] {
            write_samples(&[value; 64], &[u16::MAX; 64], &mut samples, 8);
        }
    }
}
