//! Shapes are learnt, shapes under noise are wanted: the source alone beside a method, and every
//! domain that images can be shown in, as `domains.png`.
//!
//! `cargo run -p cnn-examples --example adapt -- domains.png`
//!
//! ```text
//! source-only: 18 % of the target right
//! mcc:         30 % of the target right
//! ```
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::Arc;

use cnn_core::{Interpolation, Key};
use cnn_data::{Dataset, Image, Shapes, ShapesConfig, Split, contact_sheet, resize};
use cnn_models::{LoadOptions, ModelConfig, Network};
use cnn_transfer::adapt::{
    Adaptation, AdaptationConfig, AdaptationMethod, DomainShift, Shifted, Unlabelled,
};
use cnn_transfer::measure;

fn images(samples: usize, split: Split) -> anyhow::Result<Arc<dyn Dataset>> {
    let shapes = ShapesConfig::default()
        .with_samples(samples)
        .with_split(split)
        .with_difficulty(0.);
    Ok(Arc::new(Shapes::new(shapes)?))
}

/// The same images as another domain has them.
fn shifted(images: Arc<dyn Dataset>, shift: &DomainShift) -> Arc<dyn Dataset> {
    Arc::new(Shifted::new(images, shift.clone(), Key::new(0)))
}

/// Two images, and to the right of each what every shift makes of it.
fn draw_domains(path: &Path) -> anyhow::Result<()> {
    let images = images(8, Split::Test)?;
    let mut sheet = Vec::new();
    let mut draw = |images: &dyn Dataset, index: usize| -> anyhow::Result<()> {
        let image = images.read(index)?.image.to_rgb();
        sheet.push(resize(&image, 96, 96, Interpolation::Nearest)?);
        Ok(())
    };
    for index in [3, 7] {
        draw(images.as_ref(), index)?;
        for name in DomainShift::NAMES {
            draw(shifted(images.clone(), &name.parse()?).as_ref(), index)?;
        }
    }
    let sheet: Image = contact_sheet(&sheet, 1 + DomainShift::NAMES.len(), 4)?;
    Ok(sheet.write_png(path)?)
}

fn main() -> anyhow::Result<()> {
    if let Some(path) = std::env::args().nth(1) {
        draw_domains(Path::new(&path))?;
    }
    let shift: DomainShift = "noise:0.2".parse()?;
    let target = shifted(images(500, Split::Test)?, &shift);
    for method in [AdaptationMethod::SourceOnly, AdaptationMethod::Mcc] {
        let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
        let config = AdaptationConfig {
            method,
            epochs: 6,
            updates: Some(50),
            backbone_scale: 1.,
            ..AdaptationConfig::default()
        };
        let directory = tempfile::tempdir()?;
        let mut adaptation = Adaptation::new(
            network,
            images(1500, Split::Train)?,
            images(200, Split::Val)?,
            Unlabelled::new(target.clone()),
            config,
        )?;
        adaptation.run(directory.path())?;
        // Labels of the target are read here, when all is chosen.
        let best = Network::load(&directory.path().join("best"), &LoadOptions::default())?;
        let right = measure(&best, &target, 64, &mut |_| ())?.result.top1;
        println!(
            "{:<12} {:.0} % of the target right",
            format!("{method}:"),
            100. * right
        );
    }
    Ok(())
}
