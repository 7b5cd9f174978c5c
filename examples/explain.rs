//! Why a network decides as it does: Grad-CAM and Integrated Gradients over a photo, and whether
//! they can be trusted.
//!
//! `cargo run --package cnn-examples --example explain [PHOTO WEIGHTS]`
//!
//! ```text
//! shapes/train#3 is taken for ship
//! Grad-CAM: insertion 0.19, deletion 0.07, ROAD 0.02, all layers random 0.45
//! Integrated Gradients: insertion 0.25, deletion 0.02, ROAD 0.14, all layers random 0.02
//! ```
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::Result;
use cnn_data::{Batch, Dataset, Shapes, ShapesConfig, open_image};
use cnn_layers::FeatureMap;
use cnn_models::{LoadOptions, Network};
use cnn_viz::{Explainer, Method, Target, TrustChecks, overlay};

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/weights/resnet20_cifar10");
    let network = Network::load(
        arguments.get(1).unwrap_or(&builtin),
        &LoadOptions::default(),
    )?;
    let (name, photo) = match arguments.first() {
        Some(path) => (path.display().to_string(), open_image(path)?),
        None => {
            let shapes = Shapes::new(ShapesConfig::default())?;
            (shapes.id(3), shapes.read(3)?.image)
        }
    };

    let batch = Batch::of_images(std::slice::from_ref(&photo), network.preprocessing())?;
    let images = FeatureMap::from_nhwc(&batch.images)?;

    let explainer = Explainer::new(network.model());
    let checks = TrustChecks::new(&network, 0)?;
    for method in [Method::GradCam, Method::IntegratedGradients] {
        let explanation = explainer.explain(method, &images, &[Target::PREDICTED])?;
        if method == Method::GradCam {
            let class = explanation.scores[0].class;
            let label = network
                .label_names()
                .map_or_else(|| format!("class {class}"), |names| names[class].clone());
            println!("{name} is taken for {label}");
        }
        let trust = checks.check(&explainer, &images, &explanation)?;
        let (layers, correlation) = &trust.randomization[trust.randomization.len() - 1];
        let [insertion, deletion, road] = [trust.insertion_auc, trust.deletion_auc, trust.road];
        println!(
            "{method}: insertion {insertion:.2}, deletion {deletion:.2}, ROAD {road:.2}, {layers} random {correlation:.2}"
        );
        let file = std::env::temp_dir().join(format!("explained.{}.png", method.name()));
        overlay(&photo, &explanation.maps[0], network.preprocessing())?.write_png(&file)?;
    }
    Ok(())
}
