//! Many maps as one picture.

use candle_core::Tensor;
use cnn_core::Interpolation;
use cnn_data::{Image, contact_sheet, resize};

use super::Heatmap;
use crate::Error;

/// Maps are enlarged in whole steps until their longer side has so many pixels.
const TILE: usize = 48;
/// Most maps in one picture.
const MOST: usize = 256;

/// The maps of one image, `(C, H, W)`, side by side, at most the first 256, each in its own units:
/// black is 0 or less, light yellow the map's 99th percentile.
///
/// # Errors
/// [`Error::Argument`] if there are none.
pub fn map_grid(maps: &Tensor) -> Result<Image, Error> {
    let failed = |source| Error::picture("feature maps", source);
    let (channels, height, width) = maps.dims3()?;
    let shown = channels.min(MOST);
    let factor = TILE.div_ceil(height.max(width).max(1));
    let tile = |channel: usize| {
        let values = maps
            .get(channel)?
            .to_dtype(candle_core::DType::F32)?
            .flatten_all()?
            .to_vec1()?;
        let map = Heatmap::new(height, width, values, false)?;
        let image = map
            .color_map()
            .paint(map.normalized().values(), height, width)
            .map_err(failed)?;
        resize(
            &image,
            height * factor,
            width * factor,
            Interpolation::Nearest,
        )
        .map_err(failed)
    };
    let tiles = (0..shown).map(tile).collect::<Result<Vec<_>, Error>>()?;
    if tiles.is_empty() {
        return Err(Error::argument("maps", "none", "at least one"));
    }
    contact_sheet(&tiles, (shown as f64).sqrt().ceil() as usize, 2).map_err(failed)
}
