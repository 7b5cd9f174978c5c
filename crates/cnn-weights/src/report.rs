//! What a model took from a weight file and what it did not.

use std::collections::HashSet;
use std::fmt;

use crate::{Error, TensorFile};

/// Names shown per list by `Display`; the lists themselves are whole.
const SHOWN: usize = 10;

/// Which tensors a model took from a file.
///
/// Its `Display` gives the counts, then at most ten names of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Tensors of the model that were loaded.
    pub loaded: Vec<String>,
    /// Tensors of the model that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the model lacks.
    pub unexpected: Vec<String>,
    /// Tensors that both have, with different shapes; they were not loaded.
    pub mismatched: Vec<ShapeMismatch>,
}

/// A tensor whose shape in the file is not the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// The tensor.
    pub name: String,
    /// The model's shape.
    pub expected: Vec<usize>,
    /// The file's shape.
    pub found: Vec<usize>,
}

impl LoadReport {
    /// What loading `file` into a model with the `expected` names and shapes gives: `loaded`,
    /// `missing` and `mismatched` in the model's order, `unexpected` in the file's.
    pub fn compare<'a>(
        expected: impl IntoIterator<Item = (&'a str, &'a [usize])>,
        file: &TensorFile,
    ) -> Self {
        let mut report = Self::default();
        let mut known = HashSet::new();
        for (name, shape) in expected {
            known.insert(name);
            match file.info(name) {
                None => report.missing.push(name.to_string()),
                Some(info) if info.shape == shape => report.loaded.push(name.to_string()),
                Some(info) => report.mismatched.push(ShapeMismatch {
                    name: name.to_string(),
                    expected: shape.to_vec(),
                    found: info.shape.clone(),
                }),
            }
        }
        report.unexpected = file
            .names()
            .filter(|name| !known.contains(name))
            .map(str::to_string)
            .collect();
        report
    }

    /// Whether every tensor of the model was loaded; the file may hold more.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.mismatched.is_empty()
    }

    /// Whether model and file hold the same tensors, as PyTorch's `strict=True` wants it.
    pub fn is_exact(&self) -> bool {
        self.is_complete() && self.unexpected.is_empty()
    }

    /// The report itself if it [is complete](Self::is_complete).
    ///
    /// # Errors
    ///
    /// [`Error::Incomplete`], which names the missing tensors, and the mismatched ones with both
    /// shapes.
    pub fn into_result(self) -> Result<Self, Error> {
        if self.is_complete() {
            Ok(self)
        } else {
            Err(Error::Incomplete(Box::new(self)))
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} loaded, {} missing, {} unexpected, {} mismatched",
            self.loaded.len(),
            self.missing.len(),
            self.unexpected.len(),
            self.mismatched.len()
        )?;
        list(f, "missing", &self.missing)?;
        list(f, "unexpected", &self.unexpected)?;
        list(f, "mismatched", &self.mismatched)
    }
}

impl fmt::Display for ShapeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {:?}, found {:?}",
            self.name, self.expected, self.found
        )
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, items: &[impl fmt::Display]) -> fmt::Result {
    for item in items.iter().take(SHOWN) {
        write!(f, "\n  {title:<10} {item}")?;
    }
    match items.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        rest => write!(f, "\n  {title:<10} … and {rest} more"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn display_counts_and_names() {
        let report = LoadReport {
            loaded: vec!["a".into(), "b".into()],
            missing: (0..12).map(|i| format!("layer{i}.weight")).collect(),
            unexpected: vec![],
            mismatched: vec![ShapeMismatch {
                name: "fc.weight".into(),
                expected: vec![10, 64],
                found: vec![1000, 64],
            }],
        };
        let text = report.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "2 loaded, 12 missing, 0 unexpected, 1 mismatched");
        assert_eq!(lines[1], "  missing    layer0.weight");
        assert_eq!(lines[11], "  missing    … and 2 more");
        assert_eq!(
            lines[12],
            "  mismatched fc.weight: expected [10, 64], found [1000, 64]"
        );
        assert_eq!(lines.len(), 13);

        let error = report.into_result().unwrap_err().to_string();
        assert!(
            error.starts_with("the weights do not fit the model\n"),
            "{error}"
        );
        assert!(
            error.contains("fc.weight: expected [10, 64], found [1000, 64]"),
            "{error}"
        );
    }

    #[test]
    fn unexpected_tensors_leave_it_complete() {
        let report = LoadReport {
            unexpected: vec!["num_batches_tracked".into()],
            ..LoadReport::default()
        };
        assert!(report.is_complete() && !report.is_exact());
        assert!(report.into_result().is_ok());
    }
}
