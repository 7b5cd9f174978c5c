//! Who is a neighbour of whom (van der Maaten & Hinton 2008, section 2).

use rayon::prelude::*;

/// Rounds of bisection; each halves what is unknown of a width.
const ROUNDS: usize = 200;
/// How far the entropy may be from that of the perplexity.
const TOLERANCE: f64 = 1e-10;

/// `p_ij = (p_j|i + p_i|j) / 2N`, row by row, which sum to 1. `p_j|i` falls off with the distance like
/// a Gaussian whose width gives the row the entropy `ln perplexity`.
pub(super) fn affinities(features: &[f32], columns: usize, perplexity: f64) -> Vec<f64> {
    let rows = features.len() / columns;
    let conditional: Vec<Vec<f64>> = (0..rows)
        .into_par_iter()
        .map(|row| {
            neighbours(
                &squared_distances(features, columns, row),
                row,
                perplexity.ln(),
            )
        })
        .collect();
    let pair = |at: usize| {
        let [i, j] = [at / rows, at % rows];
        (conditional[i][j] + conditional[j][i]) / (2 * rows) as f64
    };
    (0..rows * rows).into_par_iter().map(pair).collect()
}

fn squared_distances(features: &[f32], columns: usize, row: usize) -> Vec<f64> {
    let own = &features[row * columns..(row + 1) * columns];
    let distance = |other: &[f32]| {
        let pairs = own.iter().zip(other);
        pairs
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum()
    };
    features.chunks_exact(columns).map(distance).collect()
}

/// `p_j|i` of one row, 0 for itself.
fn neighbours(distances: &[f64], own: usize, wanted: f64) -> Vec<f64> {
    let others = || distances.iter().enumerate().filter(|&(at, _)| at != own);
    let nearest = others().map(|(_, d)| *d).fold(f64::INFINITY, f64::min);
    let weight = |distance: f64, precision: f64| (-(distance - nearest) * precision).exp();
    // The entropy falls as the precision grows.
    let entropy = |precision: f64| {
        let mut total = 0.;
        let mut mean = 0.;
        for (_, &distance) in others() {
            let weight = weight(distance, precision);
            total += weight;
            mean += weight * (distance - nearest);
        }
        f64::ln(total) + precision * mean / total
    };
    let mut low = 0.;
    let mut high = f64::INFINITY;
    let mut precision = 1.;
    for _ in 0..ROUNDS {
        let excess = entropy(precision) - wanted;
        if excess.abs() <= TOLERANCE {
            break;
        }
        if excess > 0. {
            low = precision;
        } else {
            high = precision;
        }
        // As many neighbours lie at one place as the perplexity asks for, or more.
        let is_endless = high.is_infinite() && precision > 1e100;
        if is_endless {
            break;
        }
        precision = if high.is_infinite() {
            2. * precision
        } else {
            (low + high) / 2.
        };
    }
    let total: f64 = others().map(|(_, &d)| weight(d, precision)).sum();
    let mut shares: Vec<f64> = distances
        .iter()
        .map(|&d| weight(d, precision) / total)
        .collect();
    shares[own] = 0.;
    shares
}
