//! Checks of transforms' arguments.

use std::ops::RangeInclusive;

use crate::{Error, Limits};

pub(super) fn within(
    name: &'static str,
    value: f64,
    range: RangeInclusive<f64>,
) -> Result<f64, Error> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Error::argument(
        name,
        value,
        format!("a number from {} to {}", range.start(), range.end()),
    ))
}

pub(super) fn probability(name: &'static str, p: f64) -> Result<f64, Error> {
    within(name, p, 0.0..=1.0)
}

/// Checks the ends of a range to draw from: both lie within `range`, and the smaller one comes
/// first.
pub(super) fn ordered(
    name: &'static str,
    ends: [f64; 2],
    range: RangeInclusive<f64>,
) -> Result<[f64; 2], Error> {
    let [low, high] = ends;
    if range.contains(&low) && range.contains(&high) && low <= high {
        return Ok(ends);
    }
    let expected = format!(
        "two numbers from {} to {}, the smaller one first",
        range.start(),
        range.end()
    );
    Err(Error::argument(name, format!("{low} and {high}"), expected))
}

/// Height and width of an image to be made.
pub(super) fn size(height: usize, width: usize) -> Result<[usize; 2], Error> {
    if height == 0 || width == 0 {
        return Err(Error::argument(
            "size",
            format!("{height}x{width}"),
            "no side to be zero",
        ));
    }
    Limits::default().check(width as u64, height as u64)?;
    Ok([height, width])
}
