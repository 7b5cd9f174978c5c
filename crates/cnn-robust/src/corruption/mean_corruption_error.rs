//! Errors under corruptions as one number.

use super::Corruption;
use crate::Error;

/// The errors of a network under one kind of corruption.
#[derive(Clone, Debug, PartialEq)]
pub struct KindErrors {
    /// The kind.
    pub kind: Corruption,
    /// The share of images that are not recognised, in 0..=1, for each severity.
    pub errors: Vec<f64>,
}

/// The errors of a network without and with corruptions, in 0..=1 (D. Hendrycks, T. Dietterich
/// 2019, arXiv:1903.12261, section 4).
///
/// ```
/// use cnn_robust::corruption::{BaselineErrors, Corruption, CorruptionErrors, KindErrors};
///
/// let of_kind = |kind, errors: [f64; 2]| KindErrors { kind, errors: errors.to_vec() };
/// let errors = CorruptionErrors::new(
///     0.1,
///     vec![
///         of_kind(Corruption::Fog, [0.2, 0.4]),
///         of_kind(Corruption::Snow, [0.5, 0.7]),
///     ],
/// )?;
/// assert!((errors.mean() - 0.45).abs() < 1e-12);
/// assert!((errors.relative() - 0.35).abs() < 1e-12);
///
/// let baseline = BaselineErrors::new(0.2, vec![(Corruption::Fog, 0.6), (Corruption::Snow, 0.6)])?;
/// assert!((errors.normalized(&baseline)? - (0.5 + 1.) / 2.).abs() < 1e-12);
/// assert!((errors.relative_normalized(&baseline)? - (0.5 + 1.25) / 2.).abs() < 1e-12);
/// # Ok::<(), cnn_robust::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CorruptionErrors {
    clean: f64,
    kinds: Vec<KindErrors>,
}

impl CorruptionErrors {
    /// The errors of a network: `clean` without corruption.
    ///
    /// # Errors
    /// [`Error::Argument`] if an error is not in 0..=1, if there is no kind, a kind twice, or one
    /// without errors.
    pub fn new(clean: f64, kinds: Vec<KindErrors>) -> Result<Self, Error> {
        let all = kinds.iter().flat_map(|kind| &kind.errors).chain([&clean]);
        check_shares(all)?;
        check_kinds(kinds.iter().map(|kind| kind.kind))?;
        if let Some(empty) = kinds.iter().find(|kind| kind.errors.is_empty()) {
            let found = format!("none for {}", empty.kind);
            return Err(Error::argument(
                "errors",
                found,
                "at least one for each kind",
            ));
        }
        Ok(Self { clean, kinds })
    }

    /// The error without corruption.
    pub fn clean(&self) -> f64 {
        self.clean
    }

    /// The errors of each kind.
    pub fn kinds(&self) -> &[KindErrors] {
        &self.kinds
    }

    /// The mean corruption error, not normalised: the mean over the kinds of the mean over the
    /// severities.
    pub fn mean(&self) -> f64 {
        mean(self.kinds.iter().map(KindErrors::mean))
    }

    /// The same less the error without corruption: what corruptions cost.
    pub fn relative(&self) -> f64 {
        self.mean() - self.clean
    }

    /// The paper's mCE: the mean over the kinds of this network's error divided by the baseline's.
    /// 1 is as good as the baseline.
    ///
    /// # Errors
    /// [`Error::Argument`] if the baseline lacks a kind, or has no error there.
    pub fn normalized(&self, baseline: &BaselineErrors) -> Result<f64, Error> {
        self.ratio(baseline, 0., 0.)
    }

    /// The paper's relative mCE: the mean over the kinds of what the corruption costs this network
    /// divided by what it costs the baseline.
    ///
    /// # Errors
    /// [`Error::Argument`] if the baseline lacks a kind, or loses nothing by it.
    pub fn relative_normalized(&self, baseline: &BaselineErrors) -> Result<f64, Error> {
        self.ratio(baseline, self.clean, baseline.clean)
    }

    fn ratio(
        &self,
        baseline: &BaselineErrors,
        less: f64,
        baseline_less: f64,
    ) -> Result<f64, Error> {
        let ratios = self.kinds.iter().map(|kind| {
            let of_baseline = baseline.error(kind.kind)? - baseline_less;
            if of_baseline > 0. {
                return Ok((kind.mean() - less) / of_baseline);
            }
            let found = format!("{of_baseline} for {}", kind.kind);
            Err(Error::argument(
                "baseline",
                found,
                "errors to divide by, above 0",
            ))
        });
        Ok(mean(ratios.collect::<Result<Vec<_>, _>>()?.into_iter()))
    }
}

impl KindErrors {
    /// The mean over the severities.
    pub fn mean(&self) -> f64 {
        mean(self.errors.iter().copied())
    }
}

/// The errors of the network that others are compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineErrors {
    clean: f64,
    errors: Vec<(Corruption, f64)>,
}

impl BaselineErrors {
    /// The errors of a network of one's own: without corruption, and for each kind the mean over
    /// the same severities.
    ///
    /// # Errors
    /// [`Error::Argument`] if an error is not in 0..=1, or if there is no kind or one twice.
    pub fn new(clean: f64, errors: Vec<(Corruption, f64)>) -> Result<Self, Error> {
        check_shares(errors.iter().map(|(_, error)| error).chain([&clean]))?;
        check_kinds(errors.iter().map(|&(kind, _)| kind))?;
        Ok(Self { clean, errors })
    }

    /// AlexNet's errors on ImageNet-C, all severities, which the authors divide by. They say
    /// nothing of other images.
    pub fn alexnet() -> Self {
        const ERRORS: [f64; 15] = [
            0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360, 0.866816,
            0.826572, 0.819324, 0.564592, 0.853204, 0.646056, 0.717840, 0.606500,
        ];
        Self {
            clean: 0.435,
            errors: Corruption::ALL.into_iter().zip(ERRORS).collect(),
        }
    }

    fn error(&self, kind: Corruption) -> Result<f64, Error> {
        let found = self.errors.iter().find(|(known, _)| *known == kind);
        found.map(|&(_, error)| error).ok_or_else(|| {
            let missing = format!("no error for {kind}");
            Error::argument("baseline", missing, "one for each kind that is measured")
        })
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn check_shares<'a>(mut errors: impl Iterator<Item = &'a f64>) -> Result<(), Error> {
    match errors.find(|error| !(0. ..=1.).contains(*error)) {
        None => Ok(()),
        Some(wrong) => Err(Error::argument("errors", wrong, "shares from 0 to 1")),
    }
}

fn check_kinds(kinds: impl Iterator<Item = Corruption>) -> Result<(), Error> {
    let mut seen = Vec::new();
    for kind in kinds {
        if seen.contains(&kind) {
            return Err(Error::argument(
                "kinds",
                format!("{kind} twice"),
                "each once",
            ));
        }
        seen.push(kind);
    }
    if seen.is_empty() {
        return Err(Error::argument("kinds", "none", "at least one"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn errors(kind: Corruption, errors: &[f64]) -> KindErrors {
        let errors = errors.to_vec();
        KindErrors { kind, errors }
    }

    #[test]
    fn alexnet_has_an_mce_of_one() {
        let alexnet = BaselineErrors::alexnet();
        let of_kind = |&(kind, error): &(Corruption, f64)| errors(kind, &[error; 5]);
        let kinds = alexnet.errors.iter().map(of_kind).collect();
        let same = CorruptionErrors::new(alexnet.clean, kinds).unwrap();
        assert!((same.normalized(&alexnet).unwrap() - 1.).abs() < 1e-12);
        assert!((same.relative_normalized(&alexnet).unwrap() - 1.).abs() < 1e-12);
    }

    #[test]
    fn unusable_errors_are_named() {
        let fog = || errors(Corruption::Fog, &[0.5]);
        let cases = [
            (CorruptionErrors::new(0.1, vec![]), "`kinds`: found none"),
            (
                CorruptionErrors::new(0.1, vec![fog(), fog()]),
                "`kinds`: found fog twice",
            ),
            (
                CorruptionErrors::new(1.1, vec![fog()]),
                "`errors`: found 1.1",
            ),
            (
                CorruptionErrors::new(0.1, vec![errors(Corruption::Fog, &[f64::NAN])]),
                "`errors`: found NaN",
            ),
            (
                CorruptionErrors::new(0.1, vec![errors(Corruption::Fog, &[])]),
                "`errors`: found none for fog",
            ),
        ];
        for (result, expected) in cases {
            let said = result.unwrap_err().to_string();
            assert!(said.starts_with(expected), "{said}");
        }
        let of_fog = CorruptionErrors::new(0.1, vec![fog()]).unwrap();
        let of_snow = BaselineErrors::new(0.1, vec![(Corruption::Snow, 0.5)]).unwrap();
        let said = of_fog.normalized(&of_snow).unwrap_err().to_string();
        assert!(
            said.starts_with("`baseline`: found no error for fog"),
            "{said}"
        );
        let lossless = BaselineErrors::new(0.5, vec![(Corruption::Fog, 0.5)]).unwrap();
        assert!(of_fog.normalized(&lossless).is_ok());
        assert!(of_fog.relative_normalized(&lossless).is_err());
    }
}
