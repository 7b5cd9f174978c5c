//! On how many images each channel does something.

use super::channel_sums::ChannelSums;

/// Counts, for each channel, the images on which it gave something else than its resting value.
///
/// At rest a channel gives one and the same number on every pixel of every image: 0, or what it
/// gave on the first image, whichever it gave on more images.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    images: u32,
    /// What each channel gave on every pixel of the first image; NaN for more than one number.
    first: Vec<f64>,
    not_first: Vec<u32>,
    not_zero: Vec<u32>,
}

impl Activity {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            images: 0,
            first: vec![f64::NAN; channels],
            not_first: vec![0; channels],
            not_zero: vec![0; channels],
        }
    }

    /// Adds one image, given the sums over its pixels.
    pub(super) fn add(&mut self, image: &ChannelSums) {
        for channel in 0..self.first.len() {
            let value = image.only_value(channel).unwrap_or(f64::NAN);
            if self.images == 0 {
                self.first[channel] = value;
            }
            self.not_first[channel] += u32::from(value != self.first[channel]);
            self.not_zero[channel] += u32::from(value != 0.);
        }
        self.images += 1;
    }

    /// Of each channel, the number of images on which it was not at rest: 0 for one that was
    /// constant on all of them.
    pub(super) fn active_images(&self) -> Vec<u32> {
        self.not_first
            .iter()
            .zip(&self.not_zero)
            .map(|(&first, &zero)| first.min(zero))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::channel_sums::Detail;
    use super::*;

    #[test]
    fn images_on_which_a_channel_is_not_at_rest_are_counted() {
        // Of two pixels and six channels: dead, constant, active once, first active and then dead,
        // never the same, not a number once.
        let images: [[[f32; 6]; 2]; 3] = [
            [[0., 2., 0., 5., 1., 0.], [0., 2., 0., 5., 2., 0.]],
            [[0., 2., 1., 0., 3., 0.], [0., 2., 0., 0., 4., f32::NAN]],
            [[0., 2., 0., 0., 6., 0.], [-0., 2., 0., 0., 5., 0.]],
        ];
        let mut activity = Activity::new(6);
        for pixels in images {
            let mut sums = ChannelSums::new(6, Detail::Moments);
            sums.add_image(&pixels.concat(), |_| [0.; 2]);
            activity.add(&sums);
        }
        assert_eq!(activity.active_images(), [0, 0, 1, 1, 3, 1]);
    }
}
