//! The kinds of corruptions.

use std::fmt;
use std::str::FromStr;

use cnn_core::{Key, did_you_mean};
use cnn_data::Image;

use super::chance::Chance;
use super::{
    Severity, brightness, contrast, defocus_blur, elastic_transform, fog, frost, gaussian_noise,
    glass_blur, impulse_noise, jpeg, motion_blur, pixelate, shot_noise, snow, zoom_blur,
};
use crate::{Draws, Error};

/// A kind of corruption; see the [module](super).
///
/// ```
/// use cnn_core::Key;
/// use cnn_data::Image;
/// use cnn_robust::corruption::{Corruption, Severity};
///
/// let photo = Image::from_pixels(28, 20, 1, vec![128; 28 * 20])?;
/// let foggy = "fog".parse::<Corruption>()?.apply(&photo, Severity::new(3)?, Key::new(7))?;
/// assert_eq!((foggy.height(), foggy.width(), foggy.channels()), (28, 20, 1));
/// assert_ne!(foggy, photo);
///
/// let again = Corruption::Fog.apply(&photo, Severity::new(3)?, Key::new(7))?;
/// assert_eq!(again, foggy);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Corruption {
    /// Normal noise, of a sensor in low light.
    GaussianNoise,
    /// Poisson noise, of light that comes in quanta.
    ShotNoise,
    /// Values that are black or white, from errors of bits.
    ImpulseNoise,
    /// A photo out of focus: a disk in place of each point.
    DefocusBlur,
    /// Frosted glass: pixels are displaced within a small distance.
    GlassBlur,
    /// A camera that moves.
    MotionBlur,
    /// A camera that comes nearer.
    ZoomBlur,
    /// Falling snow, over a photo that has become whiter.
    Snow,
    /// A window with crystals of ice, which are drawn at random.
    Frost,
    /// Fog: a plasma fractal, made by the diamond-square algorithm.
    Fog,
    /// More light: the value of hue, saturation and value is raised.
    Brightness,
    /// Values nearer to their mean.
    Contrast,
    /// Small regions stretched and contracted.
    ElasticTransform,
    /// Fewer pixels, enlarged.
    Pixelate,
    /// The losses of a JPEG file of low quality.
    JpegCompression,
}

/// What corruptions have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CorruptionGroup {
    /// Values change, each by itself.
    Noise,
    /// Neighbouring pixels are mixed.
    Blur,
    /// What weather does.
    Weather,
    /// What programs do.
    Digital,
}

/// What is known of a kind.
struct Entry {
    kind: Corruption,
    name: &'static str,
    group: CorruptionGroup,
    corrupt: fn(&Image, Severity, &Chance<'_>) -> Result<Image, Error>,
}

use Corruption as Kind;
use CorruptionGroup as Group;

#[rustfmt::skip]
const TABLE: [Entry; 15] = [
    Entry { kind: Kind::GaussianNoise, name: "gaussian_noise", group: Group::Noise, corrupt: gaussian_noise::corrupt },
    Entry { kind: Kind::ShotNoise, name: "shot_noise", group: Group::Noise, corrupt: shot_noise::corrupt },
    Entry { kind: Kind::ImpulseNoise, name: "impulse_noise", group: Group::Noise, corrupt: impulse_noise::corrupt },
    Entry { kind: Kind::DefocusBlur, name: "defocus_blur", group: Group::Blur, corrupt: defocus_blur::corrupt },
    Entry { kind: Kind::GlassBlur, name: "glass_blur", group: Group::Blur, corrupt: glass_blur::corrupt },
    Entry { kind: Kind::MotionBlur, name: "motion_blur", group: Group::Blur, corrupt: motion_blur::corrupt },
    Entry { kind: Kind::ZoomBlur, name: "zoom_blur", group: Group::Blur, corrupt: zoom_blur::corrupt },
    Entry { kind: Kind::Snow, name: "snow", group: Group::Weather, corrupt: snow::corrupt },
    Entry { kind: Kind::Frost, name: "frost", group: Group::Weather, corrupt: frost::corrupt },
    Entry { kind: Kind::Fog, name: "fog", group: Group::Weather, corrupt: fog::corrupt },
    Entry { kind: Kind::Brightness, name: "brightness", group: Group::Weather, corrupt: brightness::corrupt },
    Entry { kind: Kind::Contrast, name: "contrast", group: Group::Digital, corrupt: contrast::corrupt },
    Entry { kind: Kind::ElasticTransform, name: "elastic_transform", group: Group::Digital, corrupt: elastic_transform::corrupt },
    Entry { kind: Kind::Pixelate, name: "pixelate", group: Group::Digital, corrupt: pixelate::corrupt },
    Entry { kind: Kind::JpegCompression, name: "jpeg_compression", group: Group::Digital, corrupt: jpeg::corrupt },
];

impl Corruption {
    /// All, in the order of ImageNet-C.
    pub const ALL: [Self; 15] = {
        let mut all = [Self::GaussianNoise; 15];
        let mut place = 0;
        while place < all.len() {
            all[place] = TABLE[place].kind;
            place += 1;
        }
        all
    };

    fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    /// Its name, as `gaussian_noise`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// Its group.
    pub fn group(self) -> CorruptionGroup {
        self.entry().group
    }

    /// The image corrupted: of the same size and the same number of channels, with the random
    /// numbers of `key`, which every image has its own of.
    ///
    /// Images whose longer side has at most 64 pixels are corrupted as those of CIFAR-10-C, others
    /// as those of ImageNet-C.
    ///
    /// # Errors
    /// None for an image that is not larger than memory.
    pub fn apply(&self, image: &Image, severity: Severity, key: Key) -> Result<Image, Error> {
        let key = key.stream(self.name()).at(severity.level().into());
        self.apply_with(image, severity, &key, 0)
    }

    /// The same with random numbers from elsewhere; `sample` is the image's number there.
    ///
    /// # Errors
    /// What `draws` says.
    pub fn apply_with(
        &self,
        image: &Image,
        severity: Severity,
        draws: &dyn Draws,
        sample: u64,
    ) -> Result<Image, Error> {
        (self.entry().corrupt)(image, severity, &Chance { draws, sample })
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Corruption {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let names = TABLE.iter().map(|entry| entry.name);
        let found = TABLE.iter().find(|entry| entry.name == text);
        found.map(|entry| entry.kind).ok_or_else(|| {
            let listed = names.clone().collect::<Vec<_>>().join(", ");
            let near = did_you_mean(text, names);
            Error::argument("corruption", text, format!("one of {listed}{near}"))
        })
    }
}

impl CorruptionGroup {
    /// Its name: `noise`, `blur`, `weather`, `digital`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Blur => "blur",
            Self::Weather => "weather",
            Self::Digital => "digital",
        }
    }
}

impl fmt::Display for CorruptionGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_table_has_each_kind_at_its_place() {
        for kind in Corruption::ALL {
            assert_eq!(kind.entry().kind, kind);
            assert_eq!(kind.name().parse::<Corruption>().unwrap(), kind);
        }
    }

    #[test]
    fn a_misspelt_name_is_told_the_near_one() {
        let said = "gausian_noise".parse::<Corruption>().unwrap_err();
        let said = said.to_string();
        assert!(said.contains("jpeg_compression"), "{said}");
        assert!(said.ends_with("did you mean `gaussian_noise`?"), "{said}");
    }
}
