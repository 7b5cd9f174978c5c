//! Where a class activation map is read: at the output of a stage, or at the last map.

use std::fmt;

use candle_core::Result;
use cnn_core::did_you_mean;
use cnn_layers::{Backbone, Context, FeatureMap};

use crate::Error;

/// The maps that a class activation map weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// The last map, which the head reads.
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
    pub fn find(text: &str, model: &dyn Backbone) -> std::result::Result<Self, Error> {
        let stages = model.stages();
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

    /// The maps there.
    pub(crate) fn reach(
        self,
        model: &dyn Backbone,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        match self {
            Self::Last => model.forward_features(xs, cx),
            Self::Stage(stage) => model.forward_to(stage, xs, cx),
        }
    }

    /// The last map, from the maps there.
    pub(crate) fn go_on(
        self,
        model: &dyn Backbone,
        maps: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        match self {
            Self::Last => Ok(maps.clone()),
            Self::Stage(stage) => model.forward_from(stage, maps, cx),
        }
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
