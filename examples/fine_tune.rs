//! A pretrained network becomes good at other classes: first a new head on its frozen backbone,
//! then all layers.
//!
//! `cargo run -p cnn-examples --example fine_tune -- WEIGHTS DATA` with a directory of weights and
//! a folder with the splits `train` and `val`; without arguments the ResNet-20 of CIFAR-10 that
//! comes with the project learns `shapes`. It prints the epochs and where the weights are.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cnn_data::{Dataset, Shapes, ShapesConfig, Split, open_dataset};
use cnn_models::{LoadOptions, Network};
use cnn_train::Notice;
use cnn_transfer::{FineTune, FineTuneNotice};

fn open(folder: Option<&Path>, split: Split) -> anyhow::Result<Arc<dyn Dataset>> {
    let shapes = ShapesConfig::default().with_samples(300).with_split(split);
    Ok(folder.map_or_else(
        || Ok(Arc::new(Shapes::new(shapes)?) as _),
        |folder| open_dataset(folder, Some(split)),
    )?)
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/weights/resnet20_cifar10");
    let weights = arguments.next().unwrap_or(builtin);
    let folder = arguments.next();
    let train = open(folder.as_deref(), Split::Train)?;
    let val = open(folder.as_deref(), Split::Val)?;

    let options = LoadOptions {
        num_classes: Some(train.classes().len()),
        new_head: true,
        ..LoadOptions::default()
    };
    let network = Network::load(&weights, &options)?;
    let run = cnn_core::RunDir::create(
        &std::env::temp_dir().join("runs"),
        "finetune",
        network.spec().name,
    )?;
    let mut tuning = FineTune::new(network, train, val).with_listener(|notice| {
        if let FineTuneNotice::Train(Notice::Epoch { record, .. }) = notice {
            println!("{record}");
        }
    });
    let best = tuning
        .run(run.path())?
        .train
        .best
        .map_or(0., |best| best.score);
    println!(
        "{:.1} % of unseen images right, weights in {}",
        100. * best,
        run.join("best").display()
    );
    Ok(())
}
