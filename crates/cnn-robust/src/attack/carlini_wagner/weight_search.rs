//! The binary search over the weight of the scores.

/// What the weight is multiplied with while no weight has been large enough.
const GROWTH: f64 = 10.;

/// Where the smallest sufficient weight of an image lies.
#[derive(Clone)]
pub(super) struct WeightSearch {
    /// What is tried next.
    pub(super) weight: f64,
    too_small: f64,
    enough: f64,
}

impl WeightSearch {
    pub(super) fn new(weight: f64) -> Self {
        Self {
            weight,
            too_small: 0.,
            enough: f64::INFINITY,
        }
    }

    pub(super) fn go_on(&mut self, succeeded: bool) {
        if succeeded {
            self.enough = self.weight;
        } else {
            self.too_small = self.weight;
        }
        self.weight = if self.enough.is_finite() {
            (self.too_small + self.enough) / 2.
        } else {
            self.weight * GROWTH
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_grows_until_it_is_enough_and_is_halved_down_then() {
        let mut search = WeightSearch::new(1.);
        let mut tried = Vec::new();
        for _ in 0..6 {
            tried.push(search.weight);
            search.go_on(search.weight >= 40.);
        }
        assert_eq!(tried, [1., 10., 100., 55., 32.5, 43.75]);
    }
}
