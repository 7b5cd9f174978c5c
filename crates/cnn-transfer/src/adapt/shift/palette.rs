//! A poster: a few colours of the image, printed with other inks.

use cnn_data::Image;

use super::color::HueTurn;
use super::pixel_image::PixelImage;
use crate::Error;

/// The inks are the opposite colours.
const TURN: f64 = 0.5;

/// The image in so many of its own colours, the hues of which are turned by half a turn. A grey
/// image has so many greys.
pub(super) fn shifted(image: &Image, colors: usize) -> Result<Image, Error> {
    let rgb = image.to_rgb();
    let (pixels, _) = rgb.bytes().as_chunks::<3>();
    let hue = HueTurn::new(TURN);
    let mut printed = PixelImage::of(&rgb);
    for group in median_cut(pixels, colors) {
        let ink = hue.of(group.mean(pixels));
        for &place in &group.places {
            printed.values[3 * place..][..3].copy_from_slice(&ink);
        }
    }
    Ok(printed.to_image()?.with_channels(image.channels())?)
}

/// Pixels of similar colours.
struct Group {
    places: Vec<usize>,
}

impl Group {
    fn mean(&self, pixels: &[[u8; 3]]) -> [f64; 3] {
        std::array::from_fn(|channel| {
            let values = self.places.iter().map(|&place| pixels[place][channel]);
            values.map(f64::from).sum::<f64>() / self.places.len() as f64
        })
    }

    /// The channel in which its colours differ most, of equal ones the first.
    fn widest(&self, pixels: &[[u8; 3]]) -> Spread {
        let spread = |channel: usize| {
            let values = self.places.iter().map(|&place| pixels[place][channel]);
            let low = values.clone().min().unwrap_or(0);
            let high = values.max().unwrap_or(0);
            let width = high - low;
            Spread { channel, width }
        };
        let [red, green, blue] = [0, 1, 2].map(spread);
        [green, blue].into_iter().fold(red, Spread::wider)
    }

    /// The pixels below the median of a channel, and the others; neither is empty where the colours
    /// differ in the channel. Pixels of one colour stay together, so their order does not matter.
    fn halves(self, pixels: &[[u8; 3]], channel: usize) -> [Self; 2] {
        let mut values: Vec<u8> = self.places.iter().map(|&at| pixels[at][channel]).collect();
        values.sort_unstable();
        let median = values[values.len() / 2];
        // Where more than half of the pixels have the least value, it has a half of its own.
        let above = values.iter().find(|&&value| value > values[0]);
        let least = median.max(above.copied().unwrap_or(median));
        let is_high = |at: &usize| pixels[*at][channel] >= least;
        let (high, low) = self.places.into_iter().partition(is_high);
        [low, high].map(|places| Self { places })
    }
}

/// How far colours differ in a channel.
#[derive(Clone, Copy)]
struct Spread {
    channel: usize,
    width: u8,
}

impl Spread {
    fn wider(self, other: Self) -> Self {
        if other.width > self.width {
            other
        } else {
            self
        }
    }
}

/// At most so many groups: the one whose colours differ most in a channel is cut in two at that
/// channel's median, again and again (Heckbert 1982, "Color Image Quantization for Frame Buffer
/// Display").
fn median_cut(pixels: &[[u8; 3]], colors: usize) -> Vec<Group> {
    let mut groups = vec![Group {
        places: (0..pixels.len()).collect(),
    }];
    while groups.len() < colors {
        let spreads = groups.iter().map(|group| group.widest(pixels));
        let widths = spreads.enumerate();
        // Of equally wide groups the first.
        let widest = widths.reduce(|widest, next| {
            if next.1.width > widest.1.width {
                next
            } else {
                widest
            }
        });
        let Some((number, Spread { channel, .. })) = widest.filter(|(_, spread)| spread.width > 0)
        else {
            break;
        };
        let halves = groups.swap_remove(number).halves(pixels, channel);
        groups.extend(halves);
    }
    groups
}
