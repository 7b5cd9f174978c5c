//! Spearman's rank correlation.

/// The correlation of the ranks of two lists of equal length, in −1..=1, equals sharing their mean
/// rank; 0 where a list is constant.
pub fn rank_correlation(xs: &[f32], ys: &[f32]) -> f64 {
    let xs = ranks(xs);
    let ys = ranks(ys);
    let mean = (xs.len() as f64 - 1.) / 2.;
    let covariance = |xs: &[f64], ys: &[f64]| -> f64 {
        xs.iter()
            .zip(ys)
            .map(|(x, y)| (x - mean) * (y - mean))
            .sum()
    };
    let scale = (covariance(&xs, &xs) * covariance(&ys, &ys)).sqrt();
    if scale > 0. {
        covariance(&xs, &ys) / scale
    } else {
        0.
    }
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.; values.len()];
    let mut first = 0;
    for equals in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = first as f64 + (equals.len() as f64 - 1.) / 2.;
        equals.iter().for_each(|&at| ranks[at] = rank);
        first += equals.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy.stats.spearmanr
    #[test]
    fn it_is_scipys() {
        let xs = [1., 2., 2., 5., -3., 0., 0., 8.];
        let ys = [0.5, 0.1, 0.9, 7., 2., 2., -1., 3.];
        assert!(
            (rank_correlation(&xs, &ys) - SCIPY).abs() < 1e-12,
            "{}",
            rank_correlation(&xs, &ys)
        );
        let falling = xs.map(|x| -x);
        assert!((rank_correlation(&xs, &falling) + 1.).abs() < 1e-12);
        assert_eq!(rank_correlation(&xs, &[4.; 8]), 0.);
    }

    const SCIPY: f64 = 0.40606806376111376;
}
