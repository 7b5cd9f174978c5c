//! How much of an image an attack may change.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Images};

/// How the size of a change is measured, over all values of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Norm {
    /// The largest change of a value.
    Linf,
    /// The root of the sum of squares.
    L2,
    /// The sum of magnitudes.
    L1,
}

impl Norm {
    /// All, in the order of their use.
    pub const ALL: [Self; 3] = [Self::Linf, Self::L2, Self::L1];

    /// Its name: `linf`, `l2`, `l1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linf => "linf",
            Self::L2 => "l2",
            Self::L1 => "l1",
        }
    }

    /// The size of one image's change.
    pub fn size(self, change: &[f64]) -> f64 {
        let magnitudes = change.iter().map(|value| value.abs());
        match self {
            Self::Linf => magnitudes.fold(0., f64::max),
            Self::L2 => magnitudes.map(|value| value * value).sum::<f64>().sqrt(),
            Self::L1 => magnitudes.sum(),
        }
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Norm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|norm| norm.name() == text);
        found.ok_or_else(|| Error::argument("norm", text, "linf, l2 or l1"))
    }
}

/// The changes that an attack may make: those of at most the size `eps`, that leave each value in
/// 0..1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threat {
    /// How a change is measured.
    pub norm: Norm,
    /// The largest size, of images with values in 0..1.
    pub eps: f64,
}

impl Threat {
    /// A ball of radius `eps`.
    ///
    /// # Errors
    /// [`Error::Argument`] if `eps` is negative or not finite.
    pub fn new(norm: Norm, eps: f64) -> Result<Self, Error> {
        if eps.is_finite() && eps >= 0. {
            return Ok(Self { norm, eps });
        }
        Err(Error::argument(
            "eps",
            eps,
            "a finite number that is not negative, as 8/255",
        ))
    }

    /// The largest change of a value of at most `eps`.
    ///
    /// # Errors
    /// As [`Threat::new`].
    pub fn linf(eps: f64) -> Result<Self, Error> {
        Self::new(Norm::Linf, eps)
    }

    /// The images nearest to `images` whose change from `clean` is allowed: the change is brought
    /// to the ball, then the values to 0..1, which makes no change larger. In L1 the change is
    /// brought to the nearest point of the ball, in L2 it is scaled.
    #[must_use]
    pub fn project(&self, images: &Images, clean: &Images) -> Images {
        let mut change = images.minus(clean);
        for index in 0..change.len() {
            self.project_change(change.image_mut(index));
        }
        clean.plus(&change, 1.).within_unit()
    }

    /// Brings the change of one image to the ball.
    pub fn project_change(&self, change: &mut [f64]) {
        match self.norm {
            Norm::Linf => change
                .iter_mut()
                .for_each(|value| *value = value.clamp(-self.eps, self.eps)),
            Norm::L2 => {
                let size = Norm::L2.size(change);
                if size > self.eps {
                    let factor = self.eps / size;
                    change.iter_mut().for_each(|value| *value *= factor);
                }
            }
            Norm::L1 => shrink_to_l1(change, self.eps),
        }
    }
}

/// `linf 8/255` where the size is a number of levels, `l2 0.5` else.
impl fmt::Display for Threat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = 255. * self.eps;
        let is_whole = self.norm == Norm::Linf && (levels - levels.round()).abs() < 1e-9;
        if is_whole && levels > 0. {
            return write!(formatter, "{} {}/255", self.norm, levels.round());
        }
        let text = format!("{:.4}", self.eps);
        let short = text.trim_end_matches('0').trim_end_matches('.');
        write!(formatter, "{} {short}", self.norm)
    }
}

/// The nearest point of the L1 ball: each magnitude less the same number, at least 0 (Duchi et al.
/// 2008, "Efficient projections onto the L1-ball", figure 1).
fn shrink_to_l1(change: &mut [f64], radius: f64) {
    if Norm::L1.size(change) <= radius {
        return;
    }
    let mut magnitudes: Vec<f64> = change.iter().map(|value| value.abs()).collect();
    magnitudes.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut sum = 0.;
    let mut threshold = 0.;
    for (index, magnitude) in magnitudes.iter().enumerate() {
        sum += magnitude;
        let candidate = (sum - radius) / (index + 1) as f64;
        if candidate >= *magnitude {
            break;
        }
        threshold = candidate;
    }
    for value in change {
        *value = value.signum() * (value.abs() - threshold).max(0.);
    }
}

/// A size such as `8/255` or `0.3`.
///
/// # Errors
/// [`Error::Argument`] if it is neither a number nor a fraction of two.
pub fn parse_eps(text: &str) -> Result<f64, Error> {
    let wrong = || Error::argument("eps", text, "a number, as 0.3, or a fraction, as 8/255");
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    let value = match text.split_once('/') {
        Some((above, below)) => number(above)? / number(below)?,
        None => number(text)?,
    };
    if value.is_finite() && value >= 0. {
        return Ok(value);
    }
    Err(wrong())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_projected_change_is_the_nearest_in_the_ball() {
        // L1 by hand: (3, -1, 0.5) to a sum of 2 takes 1.0 of each magnitude: (2, 0, 0).
        let mut change = [3., -1., 0.5];
        Threat::new(Norm::L1, 2.)
            .unwrap()
            .project_change(&mut change);
        assert_eq!(change, [2., 0., 0.]);
        let mut change = [3., -4.];
        Threat::new(Norm::L2, 1.)
            .unwrap()
            .project_change(&mut change);
        assert_eq!(change, [0.6000000000000001, -0.8]);
        let mut change = [0.3, -0.05];
        Threat::linf(0.1).unwrap().project_change(&mut change);
        assert_eq!(change, [0.1, -0.05]);
    }

    #[test]
    fn sizes_read_as_they_are_written() {
        let text = |norm, eps| Threat::new(norm, eps).unwrap().to_string();
        assert_eq!(text(Norm::Linf, 8. / 255.), "linf 8/255");
        assert_eq!(text(Norm::Linf, 0.3), "linf 0.3");
        assert_eq!(text(Norm::Linf, 0.), "linf 0");
        assert_eq!(text(Norm::L2, 0.5), "l2 0.5");
        assert_eq!(text(Norm::L1, 12.), "l1 12");
    }

    #[test]
    fn sizes_are_numbers_or_fractions() {
        assert_eq!(parse_eps("8/255").unwrap(), 8. / 255.);
        assert_eq!(parse_eps("0.3").unwrap(), 0.3);
        for wrong in ["", "8/0", "-1", "nan", "8/255/2", "x"] {
            let message = parse_eps(wrong).unwrap_err().to_string();
            assert!(message.contains("8/255"), "{message}");
        }
    }
}
