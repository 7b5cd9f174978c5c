//! The shifts by name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use cnn_core::{Key, did_you_mean};
use cnn_data::Image;

use super::pixel_image::at_most_shorter_side;
use super::{Backgrounds, blend, blur, color, edges, noise, palette};
use crate::Error;

/// What makes another domain of images.
///
/// An image whose shorter side has more than 256 pixels is first made smaller, to that, since
/// networks would do the same and lose the shift. Lengths are shares of the shorter side, so that
/// they mean the same for digits and photos.
///
/// | name | what becomes of an image `x` | the number, its default and range | origin |
/// |---|---|---|---|
/// | `noise` | `x + n`, normal, value by value | standard deviation, black to white is 1; 0.2, 0 to 1 | a sensor in low light; Hendrycks & Dietterich 2019, arXiv:1903.12261 |
/// | `blur` | a Gaussian in place of each point | standard deviation, a share of the shorter side; 0.03, 0 to 0.5 | a lens out of focus; the same |
/// | `color` | the light of a lamp, and hues turned round the wheel; grey images are dyed | a share of a whole turn; 0.3, 0 to 1 | von Kries; Haeberli 1993, "Matrix Operations for Image Processing" |
/// | `edges` | dark lines on white paper where the smoothed image is steep; grey | standard deviation of the smoothing, a share of the shorter side; 0.006, 0 to 0.1 | Canny 1986, "A Computational Approach to Edge Detection" |
/// | `palette` | a few of its colours, their hues turned by half a turn | the number of colours; 6, 2 to 256 | Heckbert 1982, "Color Image Quantization for Frame Buffer Display" |
/// | `blend` | `|x − b|` with a drawn background `b`, or with a part of a photo of `blend:DIR`; coloured | | MNIST-M; Ganin et al. 2016, arXiv:1505.07818 |
///
/// A name may be followed by its number, as `noise:0.4`.
///
/// ```
/// use cnn_core::Key;
/// use cnn_data::Image;
/// use cnn_transfer::adapt::DomainShift;
///
/// // Two colours stay two, and are the opposite ones: of orange a blue.
/// let photo = Image::from_pixels(1, 2, 3, vec![200, 100, 0, 90, 90, 90])?;
/// let poster = "palette:2".parse::<DomainShift>()?.apply(&photo, Key::new(0))?;
/// assert_eq!(poster.bytes(), [0, 100, 200, 90, 90, 90]);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub enum DomainShift {
    /// Normal noise.
    Noise {
        /// Its standard deviation; black to white is 1.
        sigma: f64,
    },
    /// A Gaussian blur.
    Blur {
        /// Its standard deviation, as a share of the shorter side.
        sigma: f64,
    },
    /// Another light, other hues.
    Color {
        /// The share of a whole turn of the colour wheel.
        turn: f64,
    },
    /// A sketch.
    Edges {
        /// The standard deviation of the smoothing before, as a share of the shorter side.
        sigma: f64,
    },
    /// A poster.
    Palette {
        /// How many colours it has at most.
        colors: usize,
    },
    /// Another background.
    Blend {
        /// What the backgrounds are.
        backgrounds: Backgrounds,
    },
}

/// What is known of a shift with a number.
struct Entry {
    name: &'static str,
    default: f64,
    least: f64,
    most: f64,
    shift: fn(f64) -> DomainShift,
}

#[rustfmt::skip]
const TABLE: [Entry; 5] = [
    Entry { name: "noise", default: 0.2, least: 0., most: 1., shift: |sigma| DomainShift::Noise { sigma } },
    Entry { name: "blur", default: 0.03, least: 0., most: 0.5, shift: |sigma| DomainShift::Blur { sigma } },
    Entry { name: "color", default: 0.3, least: 0., most: 1., shift: |turn| DomainShift::Color { turn } },
    Entry { name: "edges", default: 0.006, least: 0., most: 0.1, shift: |sigma| DomainShift::Edges { sigma } },
    Entry { name: "palette", default: 6., least: 2., most: 256., shift: |colors| DomainShift::Palette { colors: colors as usize } },
];

const BLEND: &str = "blend";

impl DomainShift {
    /// The names.
    pub const NAMES: [&str; 6] = ["noise", "blur", "color", "edges", "palette", BLEND];

    /// Its name, without a number.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Noise { .. } => "noise",
            Self::Blur { .. } => "blur",
            Self::Color { .. } => "color",
            Self::Edges { .. } => "edges",
            Self::Palette { .. } => "palette",
            Self::Blend { .. } => BLEND,
        }
    }

    /// The image in the other domain, with the random numbers of `key`, of which every image has its
    /// own: of `noise` and `blend`. Other shifts draw none.
    ///
    /// # Errors
    /// [`Error::Data`] if a number is out of its range, or the photo of a background cannot be read.
    pub fn apply(&self, image: &Image, key: Key) -> Result<Image, Error> {
        self.check()?;
        let image = at_most_shorter_side(image)?;
        let key = key.stream(self.name());
        match self {
            Self::Noise { sigma } => noise::shifted(image, *sigma, key),
            Self::Blur { sigma } => blur::shifted(&image, *sigma),
            Self::Color { turn } => color::shifted(&image, *turn),
            Self::Edges { sigma } => edges::shifted(&image, *sigma),
            Self::Palette { colors } => palette::shifted(&image, *colors),
            Self::Blend { backgrounds } => blend::shifted(&image, backgrounds, key),
        }
    }

    /// Its number; `None` where it has none.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Noise { sigma: number }
            | Self::Blur { sigma: number }
            | Self::Color { turn: number }
            | Self::Edges { sigma: number } => Some(*number),
            Self::Palette { colors } => Some(*colors as f64),
            Self::Blend { .. } => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let entry = TABLE.iter().find(|entry| entry.name == self.name());
        let pair = entry.zip(self.number());
        pair.map_or(Ok(()), |(entry, number)| entry.check(number, number))
    }
}

impl Entry {
    /// Fails unless a number is in its range; `found` is what was written.
    fn check(&self, number: f64, found: impl fmt::Display) -> Result<(), Error> {
        let is_count = self.name == "palette";
        let is_kind = !is_count || number.fract() == 0.;
        if is_kind && (self.least..=self.most).contains(&number) {
            return Ok(());
        }
        let kind = if is_count { "whole number" } else { "number" };
        let expected = format!("a {kind} from {} to {}", self.least, self.most);
        Err(Error::argument(
            "shift",
            format!("{}:{found}", self.name),
            expected,
        ))
    }
}

impl fmt::Display for DomainShift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blend {
                backgrounds: Backgrounds::Photos { folder, .. },
            } => write!(f, "{BLEND}:{}", folder.display()),
            Self::Blend { .. } => f.write_str(BLEND),
            _ => write!(f, "{}:{}", self.name(), self.number().unwrap_or_default()),
        }
    }
}

impl FromStr for DomainShift {
    type Err = Error;

    /// A name, which `:` and its number or folder may follow.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, rest) = text
            .split_once(':')
            .map_or((text, None), |(name, rest)| (name, Some(rest)));
        if name == BLEND {
            let photos = rest.map(|folder| Backgrounds::photos(Path::new(folder)));
            let backgrounds = photos.transpose()?.unwrap_or_default();
            return Ok(Self::Blend { backgrounds });
        }
        let Some(entry) = TABLE.iter().find(|entry| entry.name == name) else {
            let near = did_you_mean(name, Self::NAMES);
            let names = Self::NAMES.join(", ");
            let expected = format!("one of {names}, as noise or noise:0.4{near}");
            return Err(Error::argument("shift", text, expected));
        };
        let number = rest.map_or(Some(entry.default), |rest| rest.parse().ok());
        let number = number.unwrap_or(f64::NAN);
        entry.check(number, rest.unwrap_or_default())?;
        Ok((entry.shift)(number))
    }
}
