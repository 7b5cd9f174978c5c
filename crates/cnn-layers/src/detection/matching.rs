//! Which object a candidate box stands for, by how much they overlap.

use super::OverlapMatrix;
use crate::Error;

/// What a candidate stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The object of this number.
    Object(usize),
    /// Nothing: its overlap with every object is below the low threshold.
    Background,
    /// Neither: its overlap lies between the thresholds, and it takes no part in the loss.
    Ignored,
}

impl Match {
    /// The object's number, if there is one.
    pub fn object(self) -> Option<usize> {
        match self {
            Self::Object(object) => Some(object),
            Self::Background | Self::Ignored => None,
        }
    }
}

/// What becomes of an object that no candidate overlaps with enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LowQuality {
    /// It has no candidate.
    Refused,
    /// Every candidate that has the object's largest overlap, however small, stands for the object
    /// with which that candidate's own overlap is largest: torchvision's
    /// `allow_low_quality_matches`. An object that overlaps with nothing has the overlap 0 with all
    /// candidates, which then stand for objects as well.
    Ties,
    /// The first candidate with its largest overlap stands for it, also if it has more of another
    /// object; of two objects with one best candidate the later one has it. SSD's.
    Best,
}

/// Gives candidates to objects by their overlap, as torchvision's `Matcher` and `SSDMatcher`.
///
/// Each candidate stands for the object with which it overlaps most, the first of equal ones: where
/// that overlap is at least `high`, it is that object's; below `low` it is background; in between it
/// is ignored.
///
/// ```
/// use cnn_layers::detection::{LowQuality, Match, Matcher, OverlapMatrix};
///
/// let overlaps = OverlapMatrix::from_rows(&[vec![0.8, 0.4, 0.1, 0.0], vec![0.1, 0.0, 0.2, 0.1]])?;
/// let matcher = Matcher::new(0.7, 0.3)?;
/// let background = Match::Background;
/// assert_eq!(
///     matcher.assign(&overlaps),
///     [Match::Object(0), Match::Ignored, background, background]
/// );
/// // Every object has a candidate.
/// let matcher = matcher.with_low_quality(LowQuality::Ties);
/// assert_eq!(matcher.assign(&overlaps)[2], Match::Object(1));
/// # Ok::<(), cnn_layers::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matcher {
    high: f32,
    low: f32,
    low_quality: LowQuality,
}

impl Matcher {
    /// Thresholds of the overlap: from `high` on a candidate stands for an object, below `low` for
    /// the background.
    ///
    /// # Errors
    /// If `low` is above `high`, or one is NaN.
    pub fn new(high: f32, low: f32) -> Result<Self, Error> {
        if high >= low {
            return Ok(Self {
                high,
                low,
                low_quality: LowQuality::Refused,
            });
        }
        let expected = format!("at most the high threshold, {high}");
        Err(Error::argument("low", low, expected))
    }

    /// SSD's: one threshold, and each object has the candidate that overlaps most with it.
    ///
    /// # Errors
    /// If the threshold is NaN.
    pub fn ssd(threshold: f32) -> Result<Self, Error> {
        Ok(Self::new(threshold, threshold)?.with_low_quality(LowQuality::Best))
    }

    /// What becomes of objects that no candidate overlaps with enough; default refused.
    #[must_use]
    pub fn with_low_quality(self, low_quality: LowQuality) -> Self {
        Self {
            low_quality,
            ..self
        }
    }

    /// What each candidate stands for. Without objects all are background.
    pub fn assign(&self, overlaps: &OverlapMatrix) -> Vec<Match> {
        let nearest = nearest_objects(overlaps);
        let mut matches: Vec<Match> = nearest.iter().map(|best| self.judge(*best)).collect();
        match self.low_quality {
            LowQuality::Refused => (),
            LowQuality::Ties => {
                for row in overlaps.rows() {
                    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    for (candidate, _) in row.iter().enumerate().filter(|(_, of)| **of == largest) {
                        if let Some(best) = nearest[candidate] {
                            matches[candidate] = Match::Object(best.object);
                        }
                    }
                }
            }
            LowQuality::Best => {
                for (object, row) in overlaps.rows().enumerate() {
                    if let Some(candidate) = first_largest(row) {
                        matches[candidate] = Match::Object(object);
                    }
                }
            }
        }
        matches
    }

    fn judge(&self, nearest: Option<Nearest>) -> Match {
        match nearest {
            Some(best) if best.overlap >= self.high => Match::Object(best.object),
            Some(best) if best.overlap >= self.low => Match::Ignored,
            _ => Match::Background,
        }
    }
}

/// The object that a candidate overlaps with most.
#[derive(Debug, Clone, Copy)]
struct Nearest {
    object: usize,
    overlap: f32,
}

/// For each candidate; `None` without objects.
fn nearest_objects(overlaps: &OverlapMatrix) -> Vec<Option<Nearest>> {
    let mut nearest: Vec<Option<Nearest>> = vec![None; overlaps.candidates()];
    for (object, row) in overlaps.rows().enumerate() {
        for (best, &overlap) in nearest.iter_mut().zip(row) {
            if best.is_none_or(|best| overlap > best.overlap) {
                *best = Some(Nearest { object, overlap });
            }
        }
    }
    nearest
}

/// The place of the largest number, of equal ones the first.
fn first_largest(row: &[f32]) -> Option<usize> {
    let places = 0..row.len();
    places.reduce(|best, place| if row[place] > row[best] { place } else { best })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn overlaps(rows: &[[f32; 4]]) -> OverlapMatrix {
        let rows: Vec<Vec<f32>> = rows.iter().map(|row| row.to_vec()).collect();
        OverlapMatrix::from_rows(&rows).unwrap()
    }

    #[test]
    fn thresholds_themselves_count_as_above() {
        let matches = Matcher::new(0.5, 0.25)
            .unwrap()
            .assign(&overlaps(&[[0.5, 0.49, 0.25, 0.24]]));
        let expected = [
            Match::Object(0),
            Match::Ignored,
            Match::Ignored,
            Match::Background,
        ];
        assert_eq!(matches, expected);
    }

    #[test]
    fn the_best_candidate_of_two_objects_is_the_later_ones() {
        let rows = overlaps(&[[0.3, 0.2, 0.1, 0.], [0.3, 0.2, 0.1, 0.], [0., 0., 0., 0.4]]);
        let objects = |low_quality| -> Vec<Option<usize>> {
            let matcher = Matcher::new(0.9, 0.9)
                .unwrap()
                .with_low_quality(low_quality);
            let matches = matcher.assign(&rows);
            matches.into_iter().map(Match::object).collect()
        };
        assert_eq!(objects(LowQuality::Best), [Some(1), None, None, Some(2)]);
        assert_eq!(objects(LowQuality::Ties), [Some(0), None, None, Some(2)]);
        assert_eq!(objects(LowQuality::Refused), [None; 4]);
    }

    #[test]
    fn no_objects_no_candidates_and_thresholds_the_wrong_way_round() {
        let matcher = Matcher::ssd(0.5).unwrap();
        let nothing = crate::detection::iou_matrix(&[], &[[0., 0., 1., 1.]]);
        assert_eq!(matcher.assign(&nothing), [Match::Background]);
        let nowhere = crate::detection::iou_matrix(&[[0., 0., 1., 1.]], &[]);
        assert!(matcher.assign(&nowhere).is_empty());
        assert!(Matcher::new(0.3, 0.7).is_err());
        assert!(Matcher::new(f32::NAN, 0.7).is_err());
    }
}
