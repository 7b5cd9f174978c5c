//! The quantised linear rule that a RegNet's widths follow (Radosavovic et al. 2020, section 3.3).

/// The parameters of the rule.
#[derive(Clone, Copy)]
pub(super) struct Widths {
    /// Blocks, d.
    pub(super) depth: usize,
    /// Channels of the first block, w_0.
    pub(super) initial: usize,
    /// Channels that each block has more than the one before it, w_a.
    pub(super) slope: f64,
    /// The quotient of the widths of neighbouring stages, w_m.
    pub(super) step: f64,
    /// Channels of a group, g.
    pub(super) group_width: usize,
    pub(super) rounding: Rounding,
}

/// How a stage's channels become whole groups.
#[derive(Clone, Copy)]
pub(super) enum Rounding {
    /// To the nearest number of groups, halves to the even one: the paper's code and timm.
    Nearest,
    /// Halves up, and up where more than a tenth would be lost.
    Torchvision,
}

/// Blocks of one width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) channels: usize,
    pub(super) depth: usize,
    /// Channels of a group of its 3×3 convolutions.
    pub(super) group_width: usize,
}

/// Channels are multiples of it, before they become whole groups.
const QUANTUM: f64 = 8.;

impl Widths {
    /// The stages: blocks that came out equally wide.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let mut stages: Vec<(f64, usize)> = Vec::new();
        for block in 0..self.depth {
            let channels = self.of_block(block);
            match stages.last_mut().filter(|(width, _)| *width == channels) {
                Some((_, depth)) => *depth += 1,
                None => stages.push((channels, 1)),
            }
        }
        let stage = |&(channels, depth): &(f64, usize)| self.whole_groups(channels, depth);
        stages.iter().map(stage).collect()
    }

    /// Equations 2 to 4: the linear width u = w_0 + w_a·j, as the nearest w_0·w_m^s with a whole s.
    fn of_block(&self, block: usize) -> f64 {
        let initial = self.initial as f64;
        let linear = initial + self.slope * block as f64;
        let exponent = ((linear / initial).ln() / self.step.ln()).round_ties_even();
        (initial * self.step.powf(exponent) / QUANTUM).round_ties_even() * QUANTUM
    }

    fn whole_groups(&self, channels: f64, depth: usize) -> Stage {
        let width = (self.group_width as f64).min(channels);
        let groups = channels / width;
        let groups = match self.rounding {
            Rounding::Nearest => groups.round_ties_even(),
            Rounding::Torchvision => {
                let nearest = (groups + 0.5).floor();
                if nearest < 0.9 * groups {
                    nearest + 1.
                } else {
                    nearest
                }
            }
        };
        Stage {
            channels: (groups * width) as usize,
            depth,
            group_width: width as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // timm's `generate_regnet` and `adjust_widths_groups_comp`, torchvision's `BlockParams`.
    #[test]
    fn the_rule_gives_the_widths_and_depths_of_the_papers_tables() {
        let x_004 = Widths {
            depth: 22,
            initial: 24,
            slope: 24.48,
            step: 2.54,
            group_width: 16,
            rounding: Rounding::Nearest,
        };
        let of_torchvision = Widths {
            rounding: Rounding::Torchvision,
            ..x_004
        };
        let y_032 = Widths {
            depth: 21,
            initial: 80,
            slope: 42.63,
            step: 2.66,
            group_width: 24,
            rounding: Rounding::Nearest,
        };
        // Groups wider than the first stage's channels become one.
        let wide_groups = Widths {
            group_width: 96,
            ..y_032
        };
        for (rule, channels, depths) in [
            (x_004, [32, 64, 160, 384], [1, 2, 7, 12]),
            (of_torchvision, [32, 64, 160, 400], [1, 2, 7, 12]),
            (y_032, [72, 216, 576, 1512], [2, 5, 13, 1]),
            (wide_groups, [80, 192, 576, 1536], [2, 5, 13, 1]),
        ] {
            let stages = rule.stages();
            let found: Vec<usize> = stages.iter().map(|stage| stage.channels).collect();
            assert_eq!(found, channels);
            let found: Vec<usize> = stages.iter().map(|stage| stage.depth).collect();
            assert_eq!(found, depths);
            for stage in stages {
                assert!(
                    stage.channels.is_multiple_of(stage.group_width),
                    "{stage:?}"
                );
            }
        }
    }
}
