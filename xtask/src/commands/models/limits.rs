//! Which models and weights are listed, and in which order.

use std::cmp::Ordering;

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use cnn_models::{Kind, ModelSpec, WeightSource};

use crate::args::Unusable;

/// What is wanted of the models and their weights.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Only models of at most that many parameters: a number, or one as `10M`
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_params: Option<f64>,

    /// Only models of at most that many multiply-adds for an image of their default size: a number,
    /// or one as `1G`
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_macs: Option<f64>,

    /// Only weights of at least that top-1 accuracy on ImageNet, in percent, and models that have
    /// some; weights without a published accuracy are left out
    #[arg(long, value_name = "PERCENT")]
    min_top1: Option<f64>,

    /// Only weights under that licence, and models that have some
    #[arg(long, value_name = "NAME")]
    license: Option<String>,

    /// In which order they are listed; default family by family
    #[arg(long, value_name = "WHAT")]
    sort: Option<SortKey>,
}

/// What models are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortKey {
    /// The name.
    Name,
    /// Parameters, the fewest first.
    Params,
    /// Multiply-adds, the fewest first.
    Macs,
    /// The best published accuracy first, those without one last.
    Top1,
}

/// A model with those of its weights that are wanted.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) spec: &'static ModelSpec,
    pub(super) weights: Vec<&'static WeightSource>,
}

impl Listed {
    /// The best published accuracy of its weights.
    pub(super) fn top1(&self) -> Option<f64> {
        if self.spec.kind() != Kind::Classification {
            return None;
        }
        let known = self.weights.iter().filter_map(|source| source.score);
        known.max_by(f64::total_cmp)
    }
}

impl Limits {
    /// Those of the models that are wanted, in the order that is.
    pub(super) fn apply(&self, models: Vec<&'static ModelSpec>) -> Result<Vec<Listed>> {
        let asked = models.len();
        let limited = models.into_iter().map(|spec| Listed {
            spec,
            weights: spec
                .weights()
                .iter()
                .filter(|source| self.wants(spec, source))
                .collect(),
        });
        let mut listed: Vec<Listed> = limited.filter(|one| self.keeps(one)).collect();
        if listed.is_empty() {
            return Err(self.nothing_left(asked));
        }
        if let Some(key) = self.sort {
            listed.sort_by(|a, b| compare(key, a, b));
        }
        Ok(listed)
    }

    fn wants(&self, spec: &ModelSpec, source: &WeightSource) -> bool {
        let top1 = source.score.filter(|_| spec.kind() == Kind::Classification);
        let is_good = |least| top1.is_some_and(|top1| top1 >= least);
        let is_under = |license: &String| source.license.eq_ignore_ascii_case(license);
        self.min_top1.is_none_or(is_good) && self.license.as_ref().is_none_or(is_under)
    }

    fn keeps(&self, one: &Listed) -> bool {
        let spec = one.spec;
        let wants_weights = self.min_top1.is_some() || self.license.is_some();
        self.max_params
            .is_none_or(|most| spec.parameters as f64 <= most)
            && self
                .max_macs
                .is_none_or(|most| spec.multiply_adds as f64 <= most)
            && (!wants_weights || !one.weights.is_empty())
    }

    fn nothing_left(&self, asked: usize) -> anyhow::Error {
        let known: std::collections::BTreeSet<&str> = cnn_models::models()
            .flat_map(ModelSpec::weights)
            .map(|source| source.license)
            .collect();
        let unknown = self.license.as_ref().filter(|license| {
            !known
                .iter()
                .any(|known| known.eq_ignore_ascii_case(license))
        });
        let error = match unknown {
            Some(license) => {
                let known: Vec<&str> = known.into_iter().collect();
                anyhow!(
                    "no weights are under the licence `{license}`; there are {}",
                    known.join(", ")
                )
            }
            None => anyhow!("none of the {asked} models is within all limits; widen one of them"),
        };
        error.context(Unusable)
    }
}

fn compare(key: SortKey, a: &Listed, b: &Listed) -> Ordering {
    match key {
        SortKey::Name => a.spec.name.cmp(b.spec.name),
        SortKey::Params => a.spec.parameters.cmp(&b.spec.parameters),
        SortKey::Macs => a.spec.multiply_adds.cmp(&b.spec.multiply_adds),
        SortKey::Top1 => {
            let accuracy = |one: &Listed| one.top1().unwrap_or(f64::NEG_INFINITY);
            accuracy(b).total_cmp(&accuracy(a))
        }
    }
}

/// A number, perhaps with `k`, `M` or `G` for thousands, millions or thousands of millions.
fn count(text: &str) -> Result<f64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, letter)) if letter.is_alphabetic() => (&text[..at], letter),
        _ => (text, ' '),
    };
    let factor = match unit.to_ascii_lowercase() {
        ' ' => Some(1.),
        'k' => Some(1e3),
        'm' => Some(1e6),
        'g' | 'b' => Some(1e9),
        _ => None,
    };
    let number = digits.trim().parse::<f64>().ok();
    let product = number.zip(factor).map(|(number, factor)| number * factor);
    let is_count = |number: &f64| number.is_finite() && *number >= 0.;
    product
        .filter(is_count)
        .ok_or_else(|| "expected a number, or one with k, M or G behind it".to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn counts_have_units() {
        for (text, expected) in [
            ("10M", 10e6),
            ("1.5G", 1.5e9),
            ("300k", 3e5),
            ("25", 25.),
            ("2 g", 2e9),
        ] {
            assert_eq!(count(text).unwrap(), expected, "{text}");
        }
        for text in ["", "M", "10T", "-1", "inf", "nan", "1MM", "é"] {
            assert!(count(text).is_err(), "{text}");
        }
    }
}
