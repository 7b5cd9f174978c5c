//! Value noise: random heights on a lattice, smoothly joined.

/// `x` as its integer part towards minus infinity and the rest.
pub(super) fn split(x: f32) -> (i32, f32) {
    let truncated = x as i32;
    let whole = truncated - i32::from(x < truncated as f32);
    (whole, x - whole as f32)
}

/// One octave in `[0, 1]`, lattice constant 1.
pub(super) fn value_noise(seed: u32, x: f32, y: f32) -> f32 {
    let ((column, right), (row, down)) = (split(x), split(y));
    let right = smooth(right);
    let down = smooth(down);
    let height = |row: i32, column: i32| hashed(seed, row, column);
    let above = mix(
        height(row, column),
        height(row, column.wrapping_add(1)),
        right,
    );
    let row = row.wrapping_add(1);
    let below = mix(
        height(row, column),
        height(row, column.wrapping_add(1)),
        right,
    );
    mix(above, below, down)
}

/// Three octaves, each half as strong and twice as fine as the one before, stretched to use most of
/// `[0, 1]`.
pub(super) fn clouds(seed: u32, x: f32, y: f32) -> f32 {
    let sum = value_noise(seed, x, y)
        + value_noise(seed ^ 0x5bd1_e995, x * 2.0, y * 2.0) / 2.0
        + value_noise(seed ^ 0x1b87_3593, x * 4.0, y * 4.0) / 4.0;
    (0.5 + (sum / 1.75 - 0.5) * 1.7).clamp(0.0, 1.0)
}

/// `a` at `t` = 0, `b` at 1.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// A smooth step: 0 below 0, 1 above 1, and level at both ends.
pub(super) fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

// The finaliser of MurmurHash3 (A. Appleby, 2011) over the mixed coordinates.
fn hashed(seed: u32, row: i32, column: i32) -> f32 {
    let mut bits =
        seed ^ (row as u32).wrapping_mul(0x85eb_ca6b) ^ (column as u32).wrapping_mul(0xc2b2_ae35);
    bits ^= bits >> 16;
    bits = bits.wrapping_mul(0x7feb_352d);
    bits ^= bits >> 15;
    bits = bits.wrapping_mul(0x846c_a68b);
    bits ^= bits >> 16;
    (bits >> 8) as f32 / 16_777_216.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_floors() {
        for (x, whole, rest) in [
            (1.25, 1, 0.25),
            (-1.25, -2, 0.75),
            (0.0, 0, 0.0),
            (-3.0, -3, 0.0),
        ] {
            assert_eq!(split(x), (whole, rest), "{x}");
        }
    }

    #[test]
    fn noise_is_continuous_and_covers_its_range() {
        let mut low = 1.0_f32;
        let mut high = 0.0_f32;
        for step in 0..4000 {
            let x = step as f32 * 0.01 - 20.0;
            let here = clouds(7, x, 0.3 * x);
            let near = clouds(7, x + 0.001, 0.3 * x);
            assert!((here - near).abs() < 0.02, "at {x}: {here} and {near}");
            (low, high) = (low.min(here), high.max(here));
        }
        assert!(low < 0.2 && high > 0.8, "from {low} to {high}");
    }
}
