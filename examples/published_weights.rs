//! A network published for PyTorch, loaded by name, classifies a photo.
//!
//! `cargo run -p cnn-examples --example published_weights -- WEIGHTS PHOTO` with a directory that
//! holds timm's `config.json` and `model.safetensors`; without arguments it uses the shared
//! MobileNetV2 and a photo of a tench, if they are there, and prints
//!
//! ```text
//! mobilenetv2_100, 3504872 parameters
//! 0000_n01440764_tench.JPEG
//!  79.51 %  tench, Tinca tinca
//!   3.76 %  goldfish, Carassius auratus
//!   0.93 %  barracouta, snoek
//! ```
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cnn_data::{Batch, imagenet_class_names, open_image};
use cnn_layers::{Context, FeatureMap};
use cnn_metrics::top_k;
use cnn_models::{LoadOptions, Network};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let weights = arguments
        .next()
        .unwrap_or_else(|| shared.join("hub/mobilenetv2_100.tf_in1k"));
    let photo = arguments
        .next()
        .map_or_else(|| first_file(&shared.join("data/imagenet_photos")), Ok)?;

    let network = Network::load(&weights, &LoadOptions::default())?;
    println!(
        "{}, {} parameters",
        network.spec().name,
        network.store().parameter_count()
    );

    let batch = Batch::of_images(&[open_image(&photo)?], network.preprocessing())?;
    let images = FeatureMap::from_nhwc(&batch.images)?;
    let logits = network
        .model()
        .forward(&images, &Context::eval())?
        .squeeze(0)?
        .to_vec1::<f32>()?;
    println!("{}", photo.file_name().unwrap_or_default().display());
    for ranked in top_k(&logits, 3)? {
        println!(
            "{:6.2} %  {}",
            100. * ranked.probability,
            imagenet_class_names()[ranked.index]
        );
    }
    Ok(())
}

fn first_file(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("name weights and a photo: {} is absent", folder.display()))?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    files.into_iter().next().context("the folder is empty")
}
