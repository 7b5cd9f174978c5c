//! What lies behind the images of a domain.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cnn_core::{Interpolation, Rng};
use cnn_data::{Dataset as _, Image, PhotoList, resize};

use crate::Error;

/// Coloured textures that are drawn, or parts of photos.
#[derive(Debug, Clone, Default)]
pub enum Backgrounds {
    /// Random colours at the nodes of a grid, with smooth passages between them.
    #[default]
    Drawn,
    /// Parts of photos.
    Photos {
        /// Where they lie.
        folder: PathBuf,
        /// Those that were found there.
        photos: Arc<PhotoList>,
    },
}

/// Colours along the shorter side of a drawn background: at least so many, and below so many more.
const CELLS: usize = 4;
const MORE_CELLS: u64 = 5;

impl Backgrounds {
    /// Photos of a folder.
    ///
    /// # Errors
    /// [`Error::Data`] if there is none.
    pub fn photos(folder: &Path) -> Result<Self, Error> {
        Ok(Self::Photos {
            folder: folder.to_path_buf(),
            photos: Arc::new(PhotoList::open(&[folder])?),
        })
    }

    /// A coloured patch of a size.
    pub(super) fn patch(&self, height: usize, width: usize, rng: &mut Rng) -> Result<Image, Error> {
        match self {
            Self::Drawn => drawn(height, width, rng),
            Self::Photos { photos, .. } => {
                let number = rng.below(photos.len() as u64) as usize;
                let photo = photos.read(number)?.image.to_rgb();
                cut(&covering(photo, height, width)?, height, width, rng)
            }
        }
    }
}

fn drawn(height: usize, width: usize, rng: &mut Rng) -> Result<Image, Error> {
    let cells = CELLS + rng.below(MORE_CELLS) as usize;
    let nodes = |side: usize| (cells * side).div_ceil(height.min(width));
    // A line of pixels would have more colours than pixels.
    let rows = nodes(height).min(height.max(CELLS));
    let columns = nodes(width).min(width.max(CELLS));
    let bytes = (0..3 * rows * columns).map(|_| rng.below(256) as u8);
    let colors = Image::from_pixels(rows, columns, 3, bytes.collect())?;
    Ok(resize(&colors, height, width, Interpolation::Bicubic)?)
}

/// The photo, enlarged where a side is shorter than the patch's.
fn covering(photo: Image, height: usize, width: usize) -> Result<Image, Error> {
    let down = height as f64 / photo.height() as f64;
    let along = width as f64 / photo.width() as f64;
    let factor = down.max(along);
    if factor <= 1. {
        return Ok(photo);
    }
    let scaled = |side: usize, least: usize| ((factor * side as f64) as usize).max(least);
    let rows = scaled(photo.height(), height);
    let columns = scaled(photo.width(), width);
    Ok(resize(&photo, rows, columns, Interpolation::Bilinear)?)
}

/// A part of the photo, anywhere.
fn cut(photo: &Image, height: usize, width: usize, rng: &mut Rng) -> Result<Image, Error> {
    let place = |rng: &mut Rng, most: usize| rng.below(most as u64 + 1) as usize;
    let top = place(rng, photo.height() - height);
    let left = place(rng, photo.width() - width);
    let row = 3 * photo.width();
    let rows = photo.bytes().chunks_exact(row).skip(top).take(height);
    let bytes = rows.flat_map(|row| &row[3 * left..][..3 * width]).copied();
    Ok(Image::from_pixels(height, width, 3, bytes.collect())?)
}
