//! The looks in which the same scenes can be drawn.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::Error;

/// What a scene looks like: palette, textures, light and noise. Classes and geometry are the same
/// in every domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ShapesDomain {
    /// Coloured objects in sunlight on grass, wood, tiles and cloth: the usual source domain.
    #[default]
    Day,
    /// Glowing objects in the dark, with a vignette and strong sensor noise.
    Night,
    /// Pencil and wash on paper: outlines, hatching and grain, little colour.
    Sketch,
}

impl ShapesDomain {
    /// Every domain, the default first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Night, Self::Sketch];

    /// The domain's name: "day", "night" or "sketch".
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Night => "night",
            Self::Sketch => "sketch",
        }
    }
}

impl fmt::Display for ShapesDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ShapesDomain {
    type Err = Error;

    /// Reads "day", "night" or "sketch".
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|domain| domain.name() == name)
            .ok_or_else(|| Error::argument("domain", format!("`{name}`"), "day, night or sketch"))
    }
}
