//! Round numbers along an axis.

/// The multiples of the smallest step of 1, 2 or 5 times a power of ten that puts at most `most` of
/// them (2 or more) into `low..=high`. Nothing unless both are finite, `low < high`, and a step
/// between them can be told from nought.
pub(crate) fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span < 1e-200 {
        return Vec::new();
    }
    let power = (span / most as f64).log10().floor();
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * 10f64.powf(power));
    steps
        .into_iter()
        .map(|step| multiples(low, high, step))
        .find(|ticks| ticks.len() <= most)
        .unwrap_or_default()
}

/// Whole numbers only, for a count such as epochs.
pub(crate) fn whole_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    if high - low < most as f64 {
        multiples(low, high, 1.0)
    } else {
        ticks(low, high, most)
    }
}

fn multiples(low: f64, high: f64, step: f64) -> Vec<f64> {
    // A hair's breadth: an end that is a multiple stays in whatever the division's rounding.
    let first = (low / step - 1e-9).ceil();
    let last = (high / step + 1e-9).floor();
    // More are never shown; the bound keeps the loop short where numbers are too large to differ by
    // a step.
    (0..100)
        .map(|index| first + f64::from(index))
        .take_while(|&multiple| multiple <= last)
        .map(|m| m * step)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_few_and_inside() {
        let cases: [(f64, f64, usize, &[f64]); 6] = [
            (0.0, 1.0, 6, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (0.0, 2.4, 6, &[0.0, 0.5, 1.0, 1.5, 2.0]),
            (60.0, 100.0, 6, &[60.0, 70.0, 80.0, 90.0, 100.0]),
            (-0.3, 0.3, 4, &[-0.2, 0.0, 0.2]),
            (0.0, 3e-3, 4, &[0.0, 1e-3, 2e-3, 3e-3]),
            (0.5, 37.5, 8, &[5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0]),
        ];
        for (low, high, most, expected) in cases {
            let found = ticks(low, high, most);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(
                found
                    .iter()
                    .zip(expected)
                    .all(|(a, b)| (a - b).abs() < 1e-12),
                "{found:?}"
            );
        }
    }

    #[test]
    fn any_range_gives_a_bounded_number_of_finite_ticks() {
        let ends = [
            0.0,
            5e-324,
            1e-150,
            1.0,
            1.0f64.next_up(),
            1e16,
            1e16 + 2.0,
            1e150,
            f64::MAX,
            f64::INFINITY,
            f64::NAN,
        ];
        for low in ends.iter().flat_map(|&end| [end, -end]) {
            for high in ends {
                let found = ticks(low, high, 6);
                assert!(
                    found.len() <= 6 && found.iter().all(|tick| tick.is_finite()),
                    "{low} {high}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn epochs_are_whole() {
        assert_eq!(whole_ticks(0.5, 1.5, 8), [1.0]);
        assert_eq!(whole_ticks(0.5, 3.5, 8), [1.0, 2.0, 3.0]);
        assert_eq!(whole_ticks(0.5, 20.5, 8), [5.0, 10.0, 15.0, 20.0]);
        assert_eq!(whole_ticks(6.5, 9.5, 8), [7.0, 8.0, 9.0]);
    }
}
