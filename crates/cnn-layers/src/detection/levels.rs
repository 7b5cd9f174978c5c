//! Which level of a pyramid a box is looked at on (Lin et al. 2017,
//! <https://arxiv.org/abs/1612.03144>, equation 1).

use super::{BoxEdges, box_area, check_positive};
use crate::Error;

/// Gives boxes to the levels of a pyramid by their size: `⌊k₀ + log₂(√area / s₀) + 1e-6⌋`, between
/// the first and the last level, as torchvision's `LevelMapper`. Level `k` has maps of `2ᵏ` times
/// fewer rows and columns than the image.
///
/// ```
/// use cnn_layers::detection::LevelMapper;
///
/// let mapper = LevelMapper::new(2, 5)?;
/// // The usual size goes to level 4, which is the third; half of it to the one before.
/// assert_eq!(mapper.index_of(&[0., 0., 224., 224.]), 2);
/// assert_eq!(mapper.index_of(&[0., 0., 112., 112.]), 1);
/// assert_eq!(mapper.index_of(&[0., 0., 1000., 1000.]), 3);
/// assert_eq!(mapper.index_of(&[5., 5., 5., 5.]), 0);
/// # Ok::<(), cnn_layers::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelMapper {
    first: i32,
    last: i32,
    canonical_size: f32,
    canonical_level: i32,
}

/// So that a box of just a level's size is not below it by rounding.
const EPS: f32 = 1e-6;

impl LevelMapper {
    /// Levels from `first` to `last`; a box of 224×224 goes to level 4.
    ///
    /// # Errors
    /// If `last` is below `first`.
    pub fn new(first: i32, last: i32) -> Result<Self, Error> {
        if last < first {
            let expected = format!("at least the first level, {first}");
            return Err(Error::argument("last", last, expected));
        }
        Ok(Self {
            first,
            last,
            canonical_size: 224.,
            canonical_level: 4,
        })
    }

    /// Another side `s₀` of a square, in pixels, that goes to level `k₀`.
    ///
    /// # Errors
    /// If the size is not a positive number.
    pub fn with_canonical(self, size: f32, level: i32) -> Result<Self, Error> {
        check_positive("canonical size", f64::from(size))?;
        Ok(Self {
            canonical_size: size,
            canonical_level: level,
            ..self
        })
    }

    /// The place of a box's level among the levels, 0 for the first one. Boxes without area go
    /// there.
    pub fn index_of(&self, edges: &BoxEdges) -> usize {
        let size = box_area(edges).sqrt();
        let level = self.canonical_level as f32 + (size / self.canonical_size).log2() + EPS;
        // A cast stops at the ends, and takes NaN, as of a negative area, for 0.
        let level = if size > 0. {
            level.floor() as i32
        } else {
            self.first
        };
        usize::try_from(level.clamp(self.first, self.last) - self.first).unwrap_or(0)
    }
}
