//! When the step size of APGD is looked at.

use crate::Norm;

/// For each step, over how many steps back the size is judged after it, if it is.
///
/// In L∞ and L2 the first time is after 0.22 of all steps; each later interval is 0.03 shorter,
/// down to 0.06. In L1 it is every 0.04.
pub(super) fn checkpoints(norm: Norm, steps: usize) -> Vec<Option<usize>> {
    let share = |part: f64| ((part * steps as f64) as usize).max(1);
    let mut interval = match norm {
        Norm::Linf | Norm::L2 => share(0.22),
        Norm::L1 => share(0.04),
    };
    let mut checkpoints = Vec::with_capacity(steps);
    let mut since = 0;
    for _ in 0..steps {
        since += 1;
        checkpoints.push((since == interval).then_some(interval));
        if since == interval {
            since = 0;
            if norm != Norm::L1 {
                interval = interval.saturating_sub(share(0.03)).max(share(0.06));
            }
        }
    }
    checkpoints
}

/// A part of the steps in a ball of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    /// The ball's radius.
    pub(super) eps: f64,
    /// How many steps.
    pub(super) steps: usize,
}

/// All steps in one ball, or 0.3 of them in one three times as large, 0.3 in one twice as large,
/// and the others in the ball itself.
pub(super) fn stages(eps: f64, steps: usize, shrinking: bool) -> Vec<Stage> {
    let large = (0.3 * steps as f64).ceil() as usize;
    let last = steps.saturating_sub(2 * large);
    if !shrinking {
        return vec![Stage { eps, steps }];
    }
    vec![
        Stage {
            eps: 3. * eps,
            steps: large,
        },
        Stage {
            eps: 2. * eps,
            steps: large,
        },
        Stage { eps, steps: last },
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn places(norm: Norm, steps: usize) -> Vec<usize> {
        let checkpoints = checkpoints(norm, steps);
        (0..steps)
            .filter(|&step| checkpoints[step].is_some())
            .map(|step| step + 1)
            .collect()
    }

    #[test]
    fn checkpoints_are_those_of_the_paper() {
        // Its section 4 lists them as shares of 100 steps: p₁ = 0.22, pⱼ₊₁ = pⱼ + max(pⱼ − pⱼ₋₁ −
        // 0.03, 0.06).
        let expected = [22, 41, 57, 70, 80, 87, 93, 99];
        assert_eq!(places(Norm::Linf, 100), expected);
        assert_eq!(
            places(Norm::L1, 50),
            (1..=25).map(|n| 2 * n).collect::<Vec<_>>()
        );
        assert_eq!(places(Norm::L2, 1), [1]);
        assert_eq!(checkpoints(Norm::L2, 0), []);
        assert_eq!(checkpoints(Norm::L2, 100)[40], Some(19));
    }

    #[test]
    fn stages_use_all_steps() {
        let stages = stages(1., 25, true);
        let steps: Vec<usize> = stages.iter().map(|stage| stage.steps).collect();
        assert_eq!(steps, [8, 8, 9]);
        assert_eq!(stages[2].eps, 1.);
    }
}
