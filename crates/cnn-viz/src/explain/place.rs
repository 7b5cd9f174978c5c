//! Where a class activation map is read: at the output of a stage, or at the last map.

use std::fmt;

use cnn_core::did_you_mean;

use super::explained::Explained;
use crate::Error;

/// The maps that a class activation map weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// The last map, which the head reads; of a network for pixels the backbone's last, of one that
    /// finds objects the backbone's last that the object's score depends on.
    #[default]
    Last,
    /// The output of a stage.
    Stage(usize),
}

impl Place {
    /// Finds a place by name: `last`, a stage's number with or without `stage` before it, or the
    /// module whose output it is.
    ///
    /// # Errors
    /// [`Error::Argument`] if the model has no such stage.
    pub fn find<'a>(text: &str, model: impl Into<Explained<'a>>) -> Result<Self, Error> {
        let stages = model.into().stages();
        let number = text
            .strip_prefix("stage")
            .unwrap_or(text)
            .parse()
            .ok()
            .filter(|&stage| stage < stages.len());
        let named = || stages.iter().position(|stage| stage.module == text);
        if text == "last" {
            return Ok(Self::Last);
        }
        number.or_else(named).map(Self::Stage).ok_or_else(|| {
            let modules = stages.iter().map(|stage| stage.module.as_str());
            let expected = format!(
                "last, 0 to {}, or one of {}{}",
                stages.len().saturating_sub(1),
                modules.clone().collect::<Vec<_>>().join(", "),
                did_you_mean(text, modules)
            );
            Error::argument("stage", format!("`{text}`"), expected)
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("last"),
            Self::Stage(stage) => write!(f, "stage{stage}"),
        }
    }
}
