//! Poisson noise.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::Pixels;
use super::severity::Table;
use crate::Error;

/// How many quanta of light a white value is.
const QUANTA: Table<f64> = Table {
    large: [60., 25., 12., 5., 3.],
    small: [500., 250., 100., 75., 50.],
};

/// `k / c` with `k` of the Poisson distribution of mean `c x`, each value by itself: `k` is the
/// smallest number whose cumulative probability is not below a uniform one.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let pixels = Pixels::of(image);
    let quanta = QUANTA.of(&pixels, severity);
    let mut distributions: Vec<Option<Vec<f64>>> = vec![None; 256];
    let drawn = chance.uniform("quanta", pixels.values.len())?;
    let counts = image.bytes().iter().zip(drawn).map(|(&byte, share)| {
        let mean = f64::from(byte) / 255. * quanta;
        let distribution = &mut distributions[usize::from(byte)];
        let cumulative = distribution.get_or_insert_with(|| cumulative(mean));
        cumulative.partition_point(|below| *below < share) as f64
    });
    let noisy = counts.map(|count| count / quanta).collect();
    pixels.with_values(noisy).to_image()
}

/// The cumulative probabilities of 0, 1, 2, … as far as they can be told from 1.
fn cumulative(mean: f64) -> Vec<f64> {
    // Beyond it there is less than 1e-20 for every mean up to 500.
    let most = (mean + 12. * mean.sqrt() + 30.) as usize;
    let mut probability = libm::exp(-mean);
    let mut sum = 0.;
    let mut sums = Vec::with_capacity(most + 1);
    for count in 0..=most {
        sum += probability;
        sums.push(sum);
        probability *= mean / (count + 1) as f64;
    }
    sums
}
