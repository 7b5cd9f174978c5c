//! Median smoothing (Xu, Evans & Qi 2018, arXiv:1704.01155, section III-B).

use super::InputTransform;
use crate::corruption::symmetric;
use crate::{Error, Images};

/// The largest window.
const LARGEST: usize = 15;

/// Takes the median of a square window of each channel, with images mirrored at their edges, as
/// `scipy.ndimage.median_filter` does: a window of even size reaches one pixel further up and to
/// the left, and of two medians the upper one counts.
///
/// The gradient goes to the pixel that the median was, which is its derivative almost everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Median {
    size: usize,
}

impl Median {
    /// A window of so many pixels to a side; 2 and 3 are common.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not in 2..=15.
    pub fn new(size: usize) -> Result<Self, Error> {
        if !(2..=LARGEST).contains(&size) {
            let expected = format!("a whole number from 2 to {LARGEST}");
            return Err(Error::argument("size", size, expected));
        }
        Ok(Self { size })
    }

    /// For each value of an image the place of the value that is the median around it.
    fn places(&self, image: &[f64], [height, width, channels]: [usize; 3]) -> Vec<usize> {
        let reach = (self.size / 2) as i64;
        let around = |at: usize, len: usize| {
            let offsets = 0..self.size as i64;
            offsets.map(move |offset| symmetric(at as i64 + offset - reach, len))
        };
        let mut places = Vec::with_capacity(image.len());
        let mut window = Vec::with_capacity(self.size * self.size);
        for at in 0..height * width * channels {
            let [row, column] = [at / channels / width, at / channels % width];
            window.clear();
            for row in around(row, height) {
                let place = |column| (row * width + column) * channels + at % channels;
                window.extend(around(column, width).map(place));
            }
            let middle = window.len() / 2;
            let by_value = |a: &usize, b: &usize| image[*a].total_cmp(&image[*b]).then(a.cmp(b));
            let (_, median, _) = window.select_nth_unstable_by(middle, by_value);
            places.push(*median);
        }
        places
    }
}

impl InputTransform for Median {
    fn name(&self) -> String {
        format!("median:{}", self.size)
    }

    fn apply(&self, images: &Images) -> Result<Images, Error> {
        let mut medians = images.clone();
        for index in 0..images.len() {
            let image = images.image(index);
            let places = self.places(image, images.size());
            for (to, place) in medians.image_mut(index).iter_mut().zip(places) {
                *to = image[place];
            }
        }
        Ok(medians)
    }

    fn backward(&self, images: &Images, gradient: Images) -> Result<Images, Error> {
        let mut back = images.zeros_like();
        for index in 0..images.len() {
            let places = self.places(images.image(index), images.size());
            let to = back.image_mut(index);
            for (value, place) in gradient.image(index).iter().zip(places) {
                to[place] += value;
            }
        }
        Ok(back)
    }
}
