//! Fewer points for a curve of many.

/// At most about `most` of the points (4 or more), from left to right: the first, the last, and of
/// each stretch the lowest and the highest, so that no peak is lost.
pub(crate) fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let (Some(&first), Some(&last)) = (points.first(), points.last()) else {
        return Vec::new();
    };
    if points.len() <= most {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil((most / 2).saturating_sub(1).max(1));
    let mut kept = vec![first];
    for stretch in points.chunks(stretch) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = [
            stretch.iter().min_by(by_height),
            stretch.iter().max_by(by_height),
        ];
        let mut ends: Vec<(f64, f64)> = ends.into_iter().flatten().copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.extend(ends);
    }
    kept.push(last);
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_extremes_stay() {
        let spike = |at: usize| match at {
            617 => 9.,
            618 => -9.,
            at => (at as f64 / 100.).sin(),
        };
        let points: Vec<(f64, f64)> = (0..10_000).map(|at| (at as f64, spike(at))).collect();
        let kept = thinned(&points, 300);
        assert!(kept.len() <= 302, "{}", kept.len());
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[9_999]));
        assert!(kept.contains(&points[617]) && kept.contains(&points[618]));
    }

    #[test]
    fn few_stay_as_they_are() {
        let points = [(0., 1.), (1., 1.), (2., 0.)];
        assert_eq!(thinned(&points, 3), points);
        assert_eq!(thinned(&[], 3), []);
    }
}
