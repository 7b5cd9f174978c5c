//! Nearest points that keep values in 0..1: of a hyperplane (Croce & Hein 2020, arXiv:1907.02044)
//! and of an L1 ball (Croce & Hein 2021, arXiv:2103.01208).

use crate::Norm;

/// The points `z` with `⟨normal, z⟩ = offset`.
pub(crate) struct Hyperplane<'a> {
    pub(crate) normal: &'a [f64],
    pub(crate) offset: f64,
}

/// How far a value may go towards the plane, and what that brings.
struct Lever {
    index: usize,
    /// How much nearer the plane is after a change of 1.
    weight: f64,
    /// How far the value is from 0 or 1.
    room: f64,
}

impl Hyperplane<'_> {
    /// The smallest change that brings a point to the plane and leaves its values in 0..1. Where
    /// the plane misses 0..1, it is the change to the corner nearest to the plane.
    pub(crate) fn change_to(&self, norm: Norm, point: &[f64]) -> Vec<f64> {
        let pairs = self.normal.iter().zip(point);
        let above = pairs.map(|(w, x)| w * x).sum::<f64>() - self.offset;
        let side = if above >= 0. { 1. } else { -1. };
        let levers = self.levers(point, side);
        let magnitudes = match norm {
            Norm::Linf => raise_together(&levers, above.abs(), |_| 1.),
            Norm::L2 => raise_together(&levers, above.abs(), |lever| lever.weight),
            Norm::L1 => raise_in_turn(&levers, above.abs()),
        };
        let mut change = vec![0.; point.len()];
        for (lever, magnitude) in levers.iter().zip(magnitudes) {
            change[lever.index] = -side * self.normal[lever.index].signum() * magnitude;
        }
        change
    }

    fn levers(&self, point: &[f64], side: f64) -> Vec<Lever> {
        let pairs = self.normal.iter().zip(point).enumerate();
        let levers = pairs.map(|(index, (w, x))| Lever {
            index,
            weight: w.abs(),
            room: if side * w > 0. { *x } else { 1. - x },
        });
        levers.filter(|lever| lever.weight > 0.).collect()
    }
}

/// The magnitudes `min(λ slope, room)` whose weighted sum is `distance`; all rooms if that is less.
fn raise_together(levers: &[Lever], distance: f64, slope: impl Fn(&Lever) -> f64) -> Vec<f64> {
    let limit = |lever: &Lever| lever.room / slope(lever);
    let mut order: Vec<&Lever> = levers.iter().collect();
    order.sort_unstable_by(|a, b| limit(a).total_cmp(&limit(b)));
    // The rates are summed from the end, for differences of sums would lose the small ones.
    let mut rates = vec![0.; order.len()];
    let mut rate = 0.;
    for (place, lever) in order.iter().enumerate().rev() {
        rate += lever.weight * slope(lever);
        rates[place] = rate;
    }
    let mut filled = 0.;
    let mut level = f64::INFINITY;
    for (lever, rate) in order.iter().zip(rates) {
        if filled + rate * limit(lever) >= distance {
            level = (distance - filled) / rate;
            break;
        }
        filled += lever.weight * lever.room;
    }
    let magnitudes = levers
        .iter()
        .map(|lever| (level * slope(lever)).min(lever.room));
    magnitudes.collect()
}

/// Uses up the rooms of the largest weights first until the weighted sum is `distance`.
fn raise_in_turn(levers: &[Lever], distance: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..levers.len()).collect();
    order.sort_by(|&a, &b| levers[b].weight.total_cmp(&levers[a].weight));
    let mut magnitudes = vec![0.; levers.len()];
    let mut left = distance;
    for place in order {
        let lever = &levers[place];
        magnitudes[place] = (left / lever.weight).min(lever.room);
        left -= lever.weight * lever.room;
        if left <= 0. {
            break;
        }
    }
    magnitudes
}

/// Brings the change of one image to the nearest one of a sum of magnitudes of at most `radius`
/// that leaves the image's values in 0..1.
///
/// The nearest change is `sign(yᵢ) clamp(|yᵢ| − λ, 0, roomᵢ)` with the least `λ ≥ 0` that makes the
/// sum small enough.
pub(crate) fn to_l1_ball_within_unit(clean: &[f64], change: &mut [f64], radius: f64) {
    let room = |x: f64, y: f64| y.abs().min(if y > 0. { 1. - x } else { x });
    let pairs = || clean.iter().zip(&*change);
    let mut sum: f64 = pairs().map(|(x, y)| room(*x, *y)).sum();
    // Where λ makes a magnitude smaller: from what is cut off at 0..1 anyhow to all of it.
    let ends = pairs().flat_map(|(x, y)| [(y.abs() - room(*x, *y), 1.), (y.abs(), -1.)]);
    let mut ends: Vec<(f64, f64)> = ends.collect();
    ends.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut active = 0.;
    let mut threshold = 0.;
    for (end, starts) in ends {
        let next = sum - active * (end - threshold);
        if next <= radius {
            break;
        }
        sum = next;
        threshold = end;
        active += starts;
    }
    if sum > radius && active > 0. {
        threshold += (sum - radius) / active;
    }
    for (x, y) in clean.iter().zip(change) {
        *y = y.signum() * (y.abs() - threshold).clamp(0., room(*x, *y));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cnn_core::Key;

    use super::*;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn moved(point: &[f64], change: &[f64]) -> Vec<f64> {
        point.iter().zip(change).map(|(x, d)| x + d).collect()
    }

    #[test]
    fn changes_to_a_plane_by_hand() {
        let point = [0.5, 0.9, 0.2];
        let normal = [1., -2., 0.];
        // ⟨w, x⟩ is −1.3; to −1.0 the plane is 0.3 away, and the third value does nothing.
        let plane = Hyperplane {
            normal: &normal,
            offset: -1.,
        };
        let close = |norm, expected: [f64; 3]| {
            let found = plane.change_to(norm, &point);
            let pairs = found.iter().zip(expected);
            assert!(
                pairs.clone().all(|(a, b)| (a - b).abs() < 1e-12),
                "{found:?}"
            );
        };
        close(Norm::Linf, [0.1, -0.1, 0.]);
        close(Norm::L2, [0.06, -0.12, 0.]);
        close(Norm::L1, [0., -0.15, 0.]);
        // To 0.6 the second value goes down all of its room, the first does the rest; 1.3 is out of
        // reach, so the corner is given.
        for (offset, expected) in [(0.6, [0.1, -0.9, 0.]), (1.3, [0.5, -0.9, 0.])] {
            let plane = Hyperplane {
                normal: &normal,
                offset,
            };
            let found = plane.change_to(Norm::L1, &point);
            let pairs = found.iter().zip(expected);
            assert!(
                pairs.clone().all(|(a, b)| (a - b).abs() < 1e-12),
                "{found:?}"
            );
        }
    }

    #[test]
    fn no_other_point_of_the_plane_is_nearer() {
        let mut rng = Key::new(3).rng();
        for round in 0..60 {
            let count = 2 + round % 7;
            let mut of =
                |low, high| -> Vec<f64> { (0..count).map(|_| rng.uniform_in(low, high)).collect() };
            let point: Vec<f64> = of(-0.2, 1.2)
                .iter()
                .map(|x: &f64| x.clamp(0., 1.))
                .collect();
            let normal = of(-1., 1.);
            let goal = of(0., 1.);
            let others: Vec<Vec<f64>> = (0..200).map(|_| of(0., 1.)).collect();
            let plane = Hyperplane {
                normal: &normal,
                offset: dot(&normal, &goal),
            };
            for norm in Norm::ALL {
                let change = plane.change_to(norm, &point);
                let end = moved(&point, &change);
                assert!(end.iter().all(|x| (-1e-12..=1. + 1e-12).contains(x)));
                assert!((dot(&normal, &end) - plane.offset).abs() < 1e-9, "{norm}");
                // Of the segment from any point beyond the plane, the crossing is on the plane.
                let here = dot(&normal, &point) - plane.offset;
                for other in &others {
                    let there = dot(&normal, other) - plane.offset;
                    if here * there > 0. {
                        continue;
                    }
                    let share = here / (here - there);
                    let crossing = other.iter().zip(&point).map(|(b, a)| (b - a) * share);
                    let crossing: Vec<f64> = crossing.collect();
                    assert!(norm.size(&change) <= norm.size(&crossing) + 1e-9, "{norm}");
                }
            }
        }
    }

    #[test]
    fn no_other_change_of_the_l1_ball_is_nearer() {
        let mut rng = Key::new(4).rng();
        for round in 0..60 {
            let count = 2 + round % 7;
            let mut of =
                |low, high| -> Vec<f64> { (0..count).map(|_| rng.uniform_in(low, high)).collect() };
            let clean: Vec<f64> = of(-0.2, 1.2)
                .iter()
                .map(|x: &f64| x.clamp(0., 1.))
                .collect();
            let wanted = of(-1.5, 1.5);
            let others: Vec<Vec<f64>> = (0..300).map(|_| of(-1., 1.)).collect();
            let radius = [0., 0.3, 1., 20.][round % 4];
            let mut found = wanted.clone();
            to_l1_ball_within_unit(&clean, &mut found, radius);
            assert!(Norm::L1.size(&found) <= radius + 1e-9);
            let end = moved(&clean, &found);
            assert!(end.iter().all(|x| (-1e-12..=1. + 1e-12).contains(x)));
            let distance = |change: &[f64]| {
                let pairs = change.iter().zip(&wanted);
                pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
            };
            for other in &others {
                // Cut to 0..1, then scaled into the ball, another change is allowed as well.
                let pairs = other.iter().zip(&clean);
                let allowed: Vec<f64> = pairs.map(|(d, x)| (x + d).clamp(0., 1.) - x).collect();
                let factor = (radius / Norm::L1.size(&allowed).max(1e-12)).min(1.);
                for share in [1., 0.5, 0.1] {
                    // Between the found change and it all are allowed, for the set is convex.
                    let pairs = allowed.iter().zip(&found);
                    let between = pairs.map(|(a, b)| b + (a * factor - b) * share);
                    let between: Vec<f64> = between.collect();
                    assert!(distance(&found) <= distance(&between) + 1e-9);
                }
            }
        }
    }
}
