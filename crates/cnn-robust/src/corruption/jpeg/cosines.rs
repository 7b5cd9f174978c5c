//! The cosine transform of a block in libjpeg's integers, which decide what coefficients are
//! rounded to.

/// Side of a block.
pub(super) const SIDE: usize = 8;

/// 64 values, row by row.
pub(super) type Block = [i32; SIDE * SIDE];

/// Bits behind the point of the constants, and of what goes from the rows to the columns.
const CONSTANT: u32 = 13;
const BETWEEN: u32 = 2;

/// A constant with its bits behind the point.
const fn fixed(constant: f64) -> i32 {
    (constant * (1 << CONSTANT) as f64 + 0.5) as i32
}

/// Eight times the transform of values around 0 (C. Loeffler, A. Ligtenberg, G. Moschytz,
/// "Practical fast 1-D DCT algorithms with 11 multiplications", 1989).
pub(super) fn transformed(mut block: Block) -> Block {
    for row in block.chunks_exact_mut(SIDE) {
        let line = std::array::from_fn(|place| row[place]);
        let whole = |value: i32| value << BETWEEN;
        row.copy_from_slice(&line_of(line, whole, CONSTANT - BETWEEN));
    }
    for column in 0..SIDE {
        let line = std::array::from_fn(|place| block[place * SIDE + column]);
        let whole = |value: i32| descaled(value, BETWEEN);
        let line = line_of(line, whole, CONSTANT + BETWEEN);
        for (place, value) in line.into_iter().enumerate() {
            block[place * SIDE + column] = value;
        }
    }
    block
}

/// Divided by a power of two and rounded.
fn descaled(value: i32, bits: u32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

/// One line; `whole` brings what was not multiplied to the scale of the result, and what was loses
/// `bits`.
fn line_of(line: [i32; SIDE], whole: impl Fn(i32) -> i32, bits: u32) -> [i32; SIDE] {
    let sum = |place: usize| line[place] + line[SIDE - 1 - place];
    let difference = |place: usize| line[place] - line[SIDE - 1 - place];
    let scaled = |value: i32| descaled(value, bits);

    let [outer, inner] = [sum(0) + sum(3), sum(1) + sum(2)];
    let [outer_difference, inner_difference] = [sum(0) - sum(3), sum(1) - sum(2)];
    let turned = (inner_difference + outer_difference) * fixed(0.541_196_1);

    let [d0, d1, d2, d3] = [0, 1, 2, 3].map(difference);
    let both = (d3 + d1 + d2 + d0) * fixed(1.175_875_602);
    let z1 = (d3 + d0) * -fixed(0.899_976_223);
    let z2 = (d2 + d1) * -fixed(2.562_915_447);
    let z3 = (d3 + d1) * -fixed(1.961_570_560) + both;
    let z4 = (d2 + d0) * -fixed(0.390_180_644) + both;
    [
        whole(outer + inner),
        scaled(d0 * fixed(1.501_321_110) + z1 + z4),
        scaled(turned + outer_difference * fixed(0.765_366_865)),
        scaled(d1 * fixed(3.072_711_026) + z2 + z3),
        whole(outer - inner),
        scaled(d2 * fixed(2.053_119_869) + z2 + z4),
        scaled(turned - inner_difference * fixed(1.847_759_065)),
        scaled(d3 * fixed(0.298_631_336) + z1 + z3),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_is_that_of_its_definition() {
        let block: Block = std::array::from_fn(|place| (place * place * 7 % 256) as i32 - 128);
        let found = transformed(block);
        let cosine = |frequency: usize, place: usize| {
            let scale = if frequency == 0 { 0.5f64.sqrt() } else { 1. };
            let angle = (2 * place + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.;
            scale * angle.cos()
        };
        for v in 0..SIDE {
            for u in 0..SIDE {
                let products = (0..SIDE * SIDE).map(|place| {
                    f64::from(block[place]) * cosine(v, place / SIDE) * cosine(u, place % SIDE)
                });
                let expected = 2. * products.sum::<f64>();
                assert!((f64::from(found[v * SIDE + u]) - expected).abs() < 2.);
            }
        }
    }
}
