//! The filters of a network's first convolution as a picture.

use candle_core::DType;
use cnn_core::Interpolation;
use cnn_data::{Image, contact_sheet, resize};
use cnn_models::Network;

use crate::Error;

/// The longer side of an enlarged filter, about.
const SIDE: usize = 48;
const GAP: usize = 4;

/// The filters of the first convolution, in rows: colours where it reads three channels, else the
/// mean over the channels as grey. Mid-grey is a weight of 0; white and black are as far from it as
/// the largest weight of all filters.
///
/// # Errors
/// [`Error::Network`] if the network's first convolution has no weight of four dimensions.
pub fn filter_grid(network: &Network) -> Result<Image, Error> {
    let spec = network.spec();
    let of_module = |module: &str| network.store().get(&format!("{module}.weight"));
    let first_convs = spec.first_convs(&network.config().model);
    let found = first_convs.iter().find_map(|module| of_module(module).ok());
    let weight = match found {
        Some(weight) => weight,
        None => of_module(spec.first_conv)?,
    };
    let weight = weight.to_dtype(DType::F64)?;
    let weight = if weight.dim(1)? == 3 {
        weight
    } else {
        weight.mean_keepdim(1)?
    };
    let (filters, channels, height, width) = weight.dims4()?;
    // Pixels are stored with their channels together.
    let values = weight
        .permute((0, 2, 3, 1))?
        .flatten_all()?
        .to_vec1::<f64>()?;
    let largest = values
        .iter()
        .map(|value| value.abs())
        .fold(f64::MIN_POSITIVE, f64::max);
    let byte = |&value: &f64| (127.5 + 127.5 * value / largest).round() as u8;
    let factor = (SIDE / height.max(width)).max(1);
    let columns = columns(filters);
    let picture = |values: &[f64]| {
        let small = Image::from_pixels(height, width, channels, values.iter().map(byte).collect())?;
        resize(
            &small,
            height * factor,
            width * factor,
            Interpolation::Nearest,
        )
    };
    let sheet = || {
        let pictures = values
            .chunks((height * width * channels).max(1))
            .map(picture)
            .collect::<Result<Vec<_>, _>>()?;
        contact_sheet(&pictures, columns, GAP)
    };
    sheet().map_err(|source| Error::picture("the filters of the first convolution", source))
}

/// About twice as many columns as rows.
fn columns(filters: usize) -> usize {
    ((2. * filters as f64).sqrt().round() as usize)
        .next_power_of_two()
        .max(1)
}
