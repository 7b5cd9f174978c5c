//! Features of two domains that have been checked.

use crate::Error;

/// The features of images of two domains, row-major, one row of `columns` numbers per image.
#[derive(Clone, Copy, Debug)]
pub struct DomainFeatures<'a> {
    /// Of the domain that has labels.
    pub source: &'a [f32],
    /// Of the domain that has none.
    pub target: &'a [f32],
    /// How many features an image has.
    pub columns: usize,
}

impl<'a> DomainFeatures<'a> {
    /// Fails unless each domain has whole rows, `at_least` so many, of finite numbers.
    pub(super) fn check(&self, at_least: usize) -> Result<(), Error> {
        if self.columns == 0 {
            return Err(Error::argument("columns", 0, "at least 1"));
        }
        for (name, values) in [("source", self.source), ("target", self.target)] {
            check_rows(name, values, self.columns)?;
            let rows = values.len() / self.columns;
            if rows < at_least {
                let expected = "at least 1 image to learn from and, where one tests, another";
                return Err(Error::argument(name, format!("{rows} images"), expected));
            }
        }
        Ok(())
    }

    pub(super) fn source_rows(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        self.source.chunks_exact(self.columns)
    }

    pub(super) fn target_rows(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        self.target.chunks_exact(self.columns)
    }
}

/// Fails unless there are whole rows of finite numbers.
pub(super) fn check_rows(name: &'static str, values: &[f32], columns: usize) -> Result<(), Error> {
    if !values.len().is_multiple_of(columns) {
        let found = format!("{} numbers", values.len());
        return Err(Error::argument(
            name,
            found,
            "a multiple of the number of columns",
        ));
    }
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::argument(name, value, "finite numbers")),
        None => Ok(()),
    }
}
