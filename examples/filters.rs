//! What a convolution computes: three filters made by hand over one image, then ReLU, then
//! max-pooling, as a picture.
//!
//! `cargo run -p cnn-examples --example filters -- [PHOTO [PICTURE.png]]`; without a photo it draws
//! an image of `shapes`. Rows of the picture: the image; the filters' outputs, grey being 0; after
//! ReLU, which keeps what is positive; after pooling, a quarter of the numbers.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::Result;
use candle_core::{Device, Tensor};
use cnn_data::{Dataset as _, Image, Shapes, ShapesConfig, contact_sheet, open_image};
use cnn_kernels::{
    Activation, BackwardRule, Conv2dSpec, FeatureMap, Padding, Window, activate, conv2d, max_pool,
};

#[rustfmt::skip]
const FILTERS: [[f32; 9]; 3] = [
    // Dark left of bright: upright edges.
    [-1., 0., 1., -2., 0., 2., -1., 0., 1.],
    // Dark above bright: level edges.
    [-1., -2., -1., 0., 0., 0., 1., 2., 1.],
    // Brighter than what is around it: spots and lines.
    [-1., -1., -1., -1., 8., -1., -1., -1., -1.],
];

/// Each channel of a feature map as a grey image: `zero` is the grey of 0, and white that of the
/// largest number.
fn pictures(map: &FeatureMap, zero: f32) -> Result<Vec<Image>> {
    let largest = map.to_nchw()?.abs()?.max_all()?.to_scalar::<f32>()?;
    let of_channel = |channel: usize| -> Result<Image> {
        let values = map
            .to_nchw()?
            .narrow(1, channel, 1)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let bytes = values
            .iter()
            .map(|value| (zero + (255. - zero) * value / largest).clamp(0., 255.) as u8);
        Ok(Image::from_pixels(
            map.height(),
            map.width(),
            1,
            bytes.collect(),
        )?)
    };
    (0..map.channels()).map(of_channel).collect()
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let image = match arguments.next() {
        Some(photo) => open_image(&photo)?,
        None => {
            Shapes::new(ShapesConfig::default().with_size(128, 128).with_samples(7))?
                .read(6)?
                .image
        }
    };
    let path = arguments
        .next()
        .unwrap_or_else(|| std::env::temp_dir().join("filters.png"));

    let grey: Vec<f32> = image
        .to_grey()
        .bytes()
        .iter()
        .map(|&byte| f32::from(byte) / 255.)
        .collect();
    let shape = (1, image.height(), image.width(), 1);
    let xs = FeatureMap::from_nhwc(&Tensor::from_vec(grey, shape, &Device::Cpu)?)?;
    let weight = Tensor::from_vec(FILTERS.concat(), (FILTERS.len(), 1, 3, 3), &Device::Cpu)?;
    let spec = Conv2dSpec {
        padding: Padding::all(1),
        ..Conv2dSpec::default()
    };
    let filtered = conv2d(&xs, &weight, None, &spec)?;
    let positive = activate(&filtered, Activation::Relu, BackwardRule::Standard)?;
    let pooled = max_pool(
        &positive,
        &Window {
            stride: [2, 2],
            ..Window::new([2, 2])
        },
    )?;

    let blank = Image::from_pixels(1, 1, 1, vec![255])?;
    let rows = [
        vec![blank.clone(), image, blank],
        pictures(&filtered, 128.)?,
        pictures(&positive, 0.)?,
        pictures(&pooled, 0.)?,
    ];
    contact_sheet(&rows.concat(), FILTERS.len(), 4)?.write_png(&path)?;
    println!(
        "{:?} → {:?} → {:?}, in {}",
        xs.dims(),
        filtered.dims(),
        pooled.dims(),
        path.display()
    );
    Ok(())
}
