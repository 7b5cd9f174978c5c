//! What there is of both domains.

use candle_core::Tensor;

use crate::Error;

/// Features, logits or weights of a batch of each domain, one row per sample.
#[derive(Debug, Clone, Copy)]
pub struct Domains<'a> {
    /// Of the domain that has labels.
    pub source: &'a Tensor,
    /// Of the domain that has none.
    pub target: &'a Tensor,
}

/// How many rows the domains have, and how long these are.
#[derive(Debug, Clone, Copy)]
pub(super) struct DomainSizes {
    pub(super) source: usize,
    pub(super) target: usize,
    pub(super) columns: usize,
}

impl Domains<'_> {
    /// The rows of the source and behind them those of the target, `(N + M, columns)`.
    ///
    /// # Errors
    /// If the rows are not equally long.
    pub fn joined(&self) -> Result<Tensor, Error> {
        self.sizes(1)?;
        Ok(Tensor::cat(&[self.source, self.target], 0)?)
    }

    /// The sizes of two matrices with `at_least` as many rows each and equally many columns.
    pub(super) fn sizes(&self, at_least: usize) -> Result<DomainSizes, Error> {
        let source = rows("source", self.source, at_least)?;
        let target = rows("target", self.target, at_least)?;
        if source.columns != target.columns {
            return Err(Error::argument(
                "target",
                format!("shape {:?}", self.target.dims()),
                format!("{} columns, as the source has", source.columns),
            ));
        }
        Ok(DomainSizes {
            source: source.rows,
            target: target.rows,
            columns: source.columns,
        })
    }
}

/// The size of a matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct MatrixSize {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// The size of a matrix with at least so many rows and at least one column.
pub(super) fn rows(name: &'static str, xs: &Tensor, at_least: usize) -> Result<MatrixSize, Error> {
    match *xs.dims() {
        [rows, columns] if rows >= at_least && columns > 0 => Ok(MatrixSize { rows, columns }),
        ref found => Err(Error::argument(
            name,
            format!("shape {found:?}"),
            format!("shape (samples, columns) with at least {at_least} samples"),
        )),
    }
}

/// Fails unless a setting is a number above 0.
pub(super) fn positive(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value > 0. {
        Ok(())
    } else {
        Err(Error::argument(name, value, "a finite number above 0"))
    }
}
