//! Arguments of attacks that have a range.

use crate::Error;

/// A finite number above 0.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, Error> {
    if value.is_finite() && value > 0. {
        return Ok(value);
    }
    Err(Error::argument(name, value, "a finite number above 0"))
}

/// A finite number that is not below 0.
pub(crate) fn not_negative(name: &'static str, value: f64) -> Result<f64, Error> {
    if value.is_finite() && value >= 0. {
        return Ok(value);
    }
    Err(Error::argument(
        name,
        value,
        "a finite number of at least 0",
    ))
}

/// A number of at least 1.
pub(crate) fn at_least_one(name: &'static str, value: usize) -> Result<usize, Error> {
    if value >= 1 {
        return Ok(value);
    }
    Err(Error::argument(name, value, "at least 1"))
}
