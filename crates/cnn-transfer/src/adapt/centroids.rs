//! Labels that a network's own features suggest (Liang et al. 2020, "SHOT",
//! <https://arxiv.org/abs/2002.08546>).

use crate::Error;

/// Below this a length counts as 0.
const NOTHING: f64 = 1e-8;

/// What a network makes of images, row by row.
#[derive(Debug, Clone, Copy)]
pub struct FeaturesAndLogits<'a> {
    /// `images · F` numbers.
    pub features: &'a [f32],
    /// `images · K` numbers.
    pub logits: &'a [f32],
    /// Images, at least 1.
    pub images: usize,
}

/// The class of each image whose centroid its features are most alike, by the cosine. The centroid
/// of a class is the mean of all features, weighted by the class's probability; then, once more,
/// that of the images which got the class. A 1 stands behind each row of features, and classes that
/// no prediction names are left out, as in the authors' program.
///
/// An image that the network is wrong about gets the right label where it lies among others that
/// the network is right about.
///
/// ```
/// use cnn_transfer::adapt::{FeaturesAndLogits, centroid_labels};
///
/// // The third image lies with the first, and the network is wrong about it.
/// let features = [4f32, 0., 0., 4., 4., 0.5, 0., 4.];
/// let logits = [3f32, 0., 0., 3., 0.1, 0.2, 0., 3.];
/// let judged = FeaturesAndLogits { features: &features, logits: &logits, images: 4 };
/// assert_eq!(centroid_labels(judged)?, [0, 1, 0, 1]);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
///
/// # Errors
/// If there is no image, or the numbers are not so many for each.
pub fn centroid_labels(judged: FeaturesAndLogits<'_>) -> Result<Vec<u32>, Error> {
    let FeaturesAndLogits {
        features,
        logits,
        images,
    } = judged;
    for (name, values) in [("features", features), ("logits", logits)] {
        if images == 0 || values.is_empty() || values.len() % images != 0 {
            let found = format!("{} numbers of {images} images", values.len());
            return Err(Error::argument(name, found, "equally many for each image"));
        }
    }
    let classes = logits.len() / images;
    let rows: Vec<Vec<f64>> = features
        .chunks_exact(features.len() / images)
        .map(unit_row)
        .collect();
    let weights: Vec<Vec<f64>> = logits.chunks_exact(classes).map(softmax).collect();
    let mut named = vec![false; classes];
    for row in &weights {
        named[first_largest(row)] = true;
    }
    let assigned = |weights: &[Vec<f64>]| -> Vec<usize> {
        let centroids = centroids(&rows, weights, classes);
        let alike = |row: &Vec<f64>| most_alike(row, &centroids, &named);
        rows.iter().map(alike).collect()
    };
    let labels = assigned(&weights);
    let certain = |label: usize| {
        let mut row = vec![0.; classes];
        row[label] = 1.;
        row
    };
    let certain: Vec<Vec<f64>> = labels.into_iter().map(certain).collect();
    let labels = assigned(&certain).into_iter();
    Ok(labels.map(|label| label as u32).collect())
}

/// Features with a 1 behind them, of length 1.
fn unit_row(features: &[f32]) -> Vec<f64> {
    let values = features.iter().map(|&x| f64::from(x));
    let mut row: Vec<f64> = values.chain(std::iter::once(1.)).collect();
    let length = length(&row);
    row.iter_mut().for_each(|x| *x /= length);
    row
}

fn length(row: &[f64]) -> f64 {
    row.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn softmax(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits
        .iter()
        .map(|&z| f64::from(z - largest).exp())
        .collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn first_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// The weighted mean of the rows, for each class.
fn centroids(rows: &[Vec<f64>], weights: &[Vec<f64>], classes: usize) -> Vec<Vec<f64>> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut sums = vec![vec![0.; columns]; classes];
    let mut counts = vec![0.; classes];
    for (row, weights) in rows.iter().zip(weights) {
        for (class, &weight) in weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0.)
        {
            counts[class] += weight;
            for (sum, x) in sums[class].iter_mut().zip(row) {
                *sum += weight * x;
            }
        }
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        sum.iter_mut().for_each(|x| *x /= NOTHING + count);
    }
    sums
}

/// The class whose centroid has the largest cosine, among those that are named.
fn most_alike(row: &[f64], centroids: &[Vec<f64>], named: &[bool]) -> usize {
    let cosine = |centroid: &Vec<f64>, is_named: bool| {
        let length = length(centroid);
        if !is_named || length == 0. {
            return f64::NEG_INFINITY;
        }
        row.iter().zip(centroid).map(|(x, y)| x * y).sum::<f64>() / length
    };
    let cosines = centroids.iter().zip(named);
    let cosines: Vec<f64> = cosines
        .map(|(centroid, is_named)| cosine(centroid, *is_named))
        .collect();
    first_largest(&cosines)
}
