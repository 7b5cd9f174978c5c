//! Which pixel stands for one outside the image.

/// Mirrors at the centre of the first and the last pixel: `c b | a b c | b a`.
pub(super) fn reflect_101(index: i64, len: usize) -> usize {
    let last = len as i64 - 1;
    if last <= 0 {
        return 0;
    }
    let place = index.rem_euclid(2 * last);
    place.min(2 * last - place) as usize
}

/// Mirrors at the outer edge of the first and the last pixel: `b a | a b c | c b`.
pub(crate) fn symmetric(index: i64, len: usize) -> usize {
    let len = len as i64;
    let place = index.rem_euclid(2 * len);
    place.min(2 * len - 1 - place) as usize
}

/// Repeats the first and the last pixel.
pub(super) fn nearest(index: i64, len: usize) -> usize {
    index.clamp(0, len as i64 - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_outside_have_a_place_inside() {
        let places = |rule: fn(i64, usize) -> usize, len| {
            (-4..7).map(|index| rule(index, len)).collect::<Vec<_>>()
        };
        assert_eq!(places(reflect_101, 3), [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(places(symmetric, 3), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert_eq!(places(nearest, 3), [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2]);
        for rule in [reflect_101, symmetric, nearest] {
            assert_eq!(places(rule, 1), [0; 11]);
        }
    }
}
