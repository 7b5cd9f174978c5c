//! In which order units go.

use super::target::Scope;
use crate::{Groups, Importance};

/// All units, those that go first at the beginning.
pub(super) fn order(groups: &Groups, importance: &Importance, scope: Scope) -> Vec<usize> {
    let mut keys = importance.scores().to_vec();
    let by_score = |units: &mut [usize]| {
        units.sort_by(|&one, &other| {
            let scores = importance.scores();
            scores[one].total_cmp(&scores[other]).then(one.cmp(&other))
        });
    };
    if scope == Scope::PerGroup {
        for group in groups.groups() {
            let mut units: Vec<usize> = group.numbers().collect();
            by_score(&mut units);
            // The share of the group that is gone with it.
            for (place, unit) in (1..).zip(units) {
                keys[unit] = f64::from(place) / group.units.len() as f64;
            }
        }
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|&one, &other| keys[one].total_cmp(&keys[other]).then(one.cmp(&other)));
    order
}
