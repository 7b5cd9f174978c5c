//! Settings of `shapes` from a line of text.

use std::str::FromStr;

use super::{ShapesConfig, ShapesDomain};
use crate::Error;

const ACCEPTED: &str = "`shapes`, or `shapes:` and any of day, night or sketch, difficulty=0..1, size=H or size=HxW, samples=N, \
    objects=N or objects=N-M, seed=N, separated by commas";

impl FromStr for ShapesConfig {
    type Err = Error;

    /// Reads `shapes`, or with settings
    /// `shapes:night,difficulty=0.8,size=48x64,objects=1-4,samples=1000,seed=7`; what is not set
    /// keeps its default.
    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = |part: &str| Error::argument("shapes", format!("`{part}`"), ACCEPTED);
        let settings = match text.strip_prefix("shapes") {
            Some("") => return Ok(Self::default()),
            Some(rest) => rest.strip_prefix(':').ok_or_else(|| unknown(text))?,
            None => return Err(unknown(text)),
        };
        let config = settings
            .split(',')
            .try_fold(Self::default(), |config, part| {
                config
                    .with_setting(part.trim())
                    .ok_or_else(|| unknown(part))
            })?;
        config.check()?;
        Ok(config)
    }
}

impl ShapesConfig {
    fn with_setting(self, part: &str) -> Option<Self> {
        let Some((key, value)) = part.split_once('=') else {
            return part
                .parse::<ShapesDomain>()
                .ok()
                .map(|domain| self.with_domain(domain));
        };
        let pair = |separator| match value.split_once(separator) {
            Some((first, second)) => Some((first.parse().ok()?, second.parse().ok()?)),
            None => value.parse().ok().map(|both: usize| (both, both)),
        };
        match key {
            "difficulty" => Some(self.with_difficulty(value.parse().ok()?)),
            "size" => pair('x').map(|(height, width)| self.with_size(height, width)),
            "objects" => pair('-').map(|(fewest, most)| self.with_objects(fewest..=most)),
            "samples" => Some(self.with_samples(value.parse().ok()?)),
            "seed" => Some(self.with_seed(value.parse().ok()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn settings_are_read_and_others_named() {
        let config: ShapesConfig = "shapes:night,difficulty=0.8,size=48x64,objects=1-4,seed=7"
            .parse()
            .unwrap();
        let expected = ShapesConfig::default()
            .with_domain(ShapesDomain::Night)
            .with_difficulty(0.8)
            .with_size(48, 64);
        assert_eq!(config, expected.with_objects(1..=4).with_seed(7));
        assert_eq!(
            "shapes".parse::<ShapesConfig>().unwrap(),
            ShapesConfig::default()
        );
        for (text, found) in [
            ("shape", "`shape`"),
            ("shapes:", "``"),
            ("shapes:dusk", "`dusk`"),
            ("shapes:size=a", "`size=a`"),
            (
                "shapes:difficulty=2",
                "found 2, expected a number from 0 to 1",
            ),
            ("shapes:size=4", "4x4"),
        ] {
            let message = text.parse::<ShapesConfig>().unwrap_err().to_string();
            assert!(message.contains(found), "{message}");
        }
    }
}
