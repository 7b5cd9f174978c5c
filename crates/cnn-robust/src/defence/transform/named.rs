//! Input transforms by name.

use super::{BitDepth, GaussianSmoothing, InputTransform, Jpeg, Median};
use crate::Error;

const ACCEPTED: &str = "jpeg:QUALITY (1 to 100), bits:BITS (1 to 8), median:SIZE (2 to 15) or gaussian:SIGMA (in pixels)";

/// The transform of a name with its setting: `jpeg:75`, `bits:3`, `median:3`, `gaussian:1`.
///
/// # Errors
/// [`Error::Argument`] that says what is accepted.
///
/// ```
/// use cnn_robust::defence::{InputTransform, parse_transform};
///
/// assert_eq!(parse_transform("bits:3")?.name(), "bits:3");
/// assert!(parse_transform("bits:9").is_err());
/// # Ok::<(), cnn_robust::Error>(())
/// ```
pub fn parse_transform(text: &str) -> Result<Box<dyn InputTransform>, Error> {
    named(text).ok_or_else(|| Error::argument("defence", text, ACCEPTED))
}

fn named(text: &str) -> Option<Box<dyn InputTransform>> {
    let (name, setting) = text.split_once(':')?;
    Some(match name {
        "jpeg" => Box::new(Jpeg::new(setting.parse().ok()?).ok()?),
        "bits" => Box::new(BitDepth::new(setting.parse().ok()?).ok()?),
        "median" => Box::new(Median::new(setting.parse().ok()?).ok()?),
        "gaussian" => Box::new(GaussianSmoothing::new(setting.parse().ok()?).ok()?),
        _ => return None,
    })
}
