//! How large the squares are.

use crate::Norm;

/// The share of an image that the first square covers.
const FIRST_SHARE: f64 = 0.8;
/// After which queries of 10,000 the share is halved (section 5 of the paper).
const HALVINGS: [usize; 9] = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000];

/// The side of the square of a query, counted from 0, in an image of this height and width.
pub(super) fn side(norm: Norm, query: usize, [height, width]: [usize; 2]) -> usize {
    let halvings = HALVINGS.iter().filter(|after| query > **after).count();
    let share = FIRST_SHARE / 2_f64.powi(halvings as i32);
    let side = (share * (height * width) as f64).sqrt().round_ties_even() as usize;
    let side = match norm {
        Norm::Linf => side.max(1),
        // An odd side has a middle, where the change of a window is largest.
        Norm::L2 | Norm::L1 => side.max(3) | 1,
    };
    side.min(height).min(width)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn squares_become_smaller() {
        // By hand, of 32x32: √(0.8 · 1024) = 28.6, √(0.4 · 1024) = 20.2, √(0.8 / 512 · 1024) =
        // 1.26.
        let of = |norm, query| side(norm, query, [32, 32]);
        assert_eq!([of(Norm::Linf, 0), of(Norm::Linf, 10)], [29, 29]);
        assert_eq!([of(Norm::Linf, 11), of(Norm::Linf, 9000)], [20, 1]);
        assert_eq!([of(Norm::L2, 11), of(Norm::L2, 9000)], [21, 3]);
        assert_eq!(side(Norm::L2, 0, [10, 2]), 2);
    }
}
