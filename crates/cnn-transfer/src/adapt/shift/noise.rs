//! The noise of a sensor in low light.

use cnn_core::{Key, Preprocessing};
use cnn_data::{GaussianNoise, Image, Sample, Transform as _};

use crate::Error;

/// Normal noise of standard deviation `sigma`, as a share of the range from black to white, on each
/// value by itself.
pub(super) fn shifted(image: Image, sigma: f64, key: Key) -> Result<Image, Error> {
    // The noise of `cnn-data` is that of a network's input; here that is the image as it is.
    let [channels, height, width] = [image.channels(), image.height(), image.width()];
    let record = Preprocessing {
        input_size: [channels, height, width],
        ..Preprocessing::default()
    };
    let noise = GaussianNoise::new(sigma, record)?;
    let noisy = noise.apply(Sample::new(image, None), &mut key.rng())?;
    Ok(noisy.image)
}
