//! Average precision: the area under the curve of precision over recall.

/// The highest precision from each object found on.
///
/// Recall only rises where an object is found, so that the curve's upper envelope is told by these
/// points: the `k`th, from 0, is the highest precision at a recall of `(k + 1) / objects` or more.
pub(super) struct Envelope {
    precisions: Vec<f64>,
    objects: u64,
}

impl Envelope {
    /// Of detections by falling score, right or wrong, and the number of objects to find.
    pub(super) fn of(ranked: impl Iterator<Item = bool>, objects: u64) -> Self {
        let mut precisions: Vec<f64> = Vec::new();
        for (before, is_right) in ranked.enumerate() {
            if is_right {
                precisions.push((precisions.len() + 1) as f64 / (before + 1) as f64);
            }
        }
        let mut highest = 0.0_f64;
        for precision in precisions.iter_mut().rev() {
            highest = highest.max(*precision);
            *precision = highest;
        }
        Self {
            precisions,
            objects,
        }
    }

    /// COCO's: the mean at 101 recalls, 0, 0.01, … 1.
    pub(super) fn at_101_points(&self) -> f64 {
        // As numpy's `linspace` rounds: 35 · 0.01 is a bit more than 0.35.
        self.mean_at((0..101_u8).map(|step| match step {
            100 => 1.0,
            _ => f64::from(step) * 0.01,
        }))
    }

    /// That of VOC until 2009: the mean at eleven recalls, 0, 0.1, … 1.
    pub(super) fn at_11_points(&self) -> f64 {
        self.mean_at((0..11_u8).map(|step| f64::from(step) / 10.0))
    }

    /// That of VOC from 2010 on: the area under the envelope.
    pub(super) fn area(&self) -> f64 {
        self.precisions.iter().sum::<f64>() / self.objects as f64
    }

    /// The mean of the envelope at rising recalls; it is 0 beyond the highest.
    fn mean_at(&self, recalls: impl ExactSizeIterator<Item = f64>) -> f64 {
        let count = recalls.len();
        let mut sum = 0.0;
        let mut first = 0;
        for recall in recalls {
            while first < self.precisions.len()
                && ((first + 1) as f64 / self.objects as f64) < recall
            {
                first += 1;
            }
            sum += self.precisions.get(first).copied().unwrap_or(0.0);
        }
        sum / count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Right, wrong, right, wrong, wrong, right of four objects: precisions 1, 2/3, 1/2 at recalls
    // 1/4, 1/2, 3/4.
    fn envelope() -> Envelope {
        let ranked = [true, false, true, false, false, true];
        Envelope::of(ranked.into_iter(), 4)
    }

    #[track_caller]
    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-15, "{found} {expected}");
    }

    #[test]
    fn each_mean_is_of_its_points() {
        let envelope = envelope();
        // Recalls of 0 to 0.25, to 0.5, to 0.75.
        assert_close(
            envelope.at_101_points(),
            (26.0 + 25.0 * 2.0 / 3.0 + 25.0 / 2.0) / 101.0,
        );
        assert_close(
            envelope.at_11_points(),
            (3.0 + 3.0 * 2.0 / 3.0 + 2.0 / 2.0) / 11.0,
        );
        assert_close(envelope.area(), (1.0 + 2.0 / 3.0 + 1.0 / 2.0) / 4.0);
    }

    #[test]
    fn a_dip_is_filled_from_the_right() {
        // Precisions 1/2, 2/3, 3/4.
        let envelope = Envelope::of([false, true, true, true].into_iter(), 3);
        assert_close(envelope.area(), 0.75);
        assert_close(envelope.at_11_points(), 0.75);
    }

    #[test]
    fn recalls_on_a_point_are_reached() {
        // Of ten objects three are found: a recall of 0.3, though 3 · 0.1 rounds to more.
        let envelope = Envelope::of([true; 3].into_iter(), 10);
        assert_close(envelope.at_11_points(), 4.0 / 11.0);
        // 35 · 0.01 rounds to more than 35 of 100, and numpy takes that.
        let envelope = Envelope::of([true; 35].into_iter(), 100);
        assert_close(envelope.at_101_points(), 35.0 / 101.0);
        let envelope = Envelope::of([true; 36].into_iter(), 100);
        assert_close(envelope.at_101_points(), 37.0 / 101.0);
    }

    #[test]
    fn nothing_found_is_zero() {
        for ranked in [vec![], vec![false; 3]] {
            let envelope = Envelope::of(ranked.into_iter(), 2);
            assert_eq!(envelope.at_101_points(), 0.0);
            assert_eq!(envelope.at_11_points(), 0.0);
            assert_eq!(envelope.area(), 0.0);
        }
    }
}
