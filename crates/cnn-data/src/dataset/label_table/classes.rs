//! The classes that the labels of a table's rows amount to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::dataset::files::quoted;

/// The classes and the number that each label stands for.
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    pub(super) numbers: HashMap<String, usize>,
}

impl Classes {
    /// Sorts the labels by name, or by value where all are numbers; equal numbers are one class.
    pub(super) fn of<'l>(labels: impl Iterator<Item = &'l str>) -> Self {
        let labels: BTreeSet<&str> = labels.collect();
        let number = |label: &str| label.parse::<f64>().ok().filter(|value| value.is_finite());
        let mut by_value: Vec<(f64, &str)> = labels
            .iter()
            .map_while(|label| Some((number(label)?, *label)))
            .collect();
        let are_numbers = by_value.len() == labels.len();
        by_value.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.len().cmp(&b.1.len())));
        let mut classes = Self {
            names: Vec::new(),
            numbers: HashMap::new(),
        };
        let mut last = None;
        let numbered = by_value.iter().map(|&(value, label)| (Some(value), label));
        let named = labels.iter().map(|&label| (None, label));
        let ordered: Vec<(Option<f64>, &str)> = if are_numbers {
            numbered.collect()
        } else {
            named.collect()
        };
        for (value, label) in ordered {
            if value.is_none() || value != last {
                classes.names.push(label.to_owned());
            }
            last = value;
            let number = classes.names.len() - 1;
            classes.numbers.insert(label.to_owned(), number);
        }
        classes
    }

    /// Labels that may not be meant as classes of their own.
    pub(super) fn note(&self) -> Option<String> {
        let mut of_key: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in &self.names {
            of_key
                .entry(name.to_lowercase())
                .or_default()
                .push(name.clone());
        }
        let alike = of_key.into_values().find(|names| names.len() > 1);
        if let Some(alike) = alike {
            return Some(format!(
                "{} differ only in case and count as classes of their own",
                quoted(&alike)?
            ));
        }
        let joined = self.names.iter().find(|name| name.contains('|'))?;
        Some(format!(
            "labels that are lists, as `{joined}`, count as classes of their own"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_by_name_or_value() {
        let names = |labels: &[&str]| Classes::of(labels.iter().copied()).names;
        assert_eq!(names(&["b", "a", "10", "9"]), ["10", "9", "a", "b"]);
        assert_eq!(names(&["10", "9", "-1", "9"]), ["-1", "9", "10"]);
        let equal = Classes::of(["1.0", "2", "1", "2.0"].into_iter());
        assert_eq!(equal.names, ["1", "2"]);
        assert_eq!((equal.numbers["1.0"], equal.numbers["2.0"]), (0, 1));
        assert_eq!(names(&[]), [""; 0]);
    }
}
