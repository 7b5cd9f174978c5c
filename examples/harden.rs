//! A network that is trained under attack beside one that is not: what attacks leave of both.
//!
//! `cargo run -p cnn-examples --example harden`
//!
//! ```text
//! trained plainly:      94 % right, 37 % under attack
//! trained under attack: 97 % right, 69 % under attack
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;

use cnn_data::{Dataset, Shapes, ShapesConfig, Split};
use cnn_layers::Mode;
use cnn_models::{ModelConfig, Network};
use cnn_robust::attack::{AutoAttack, Pgd};
use cnn_robust::defence::{AdversarialConfig, AdversarialMethod, AdversarialStep};
use cnn_robust::{
    JudgedAttack, PixelBatches, PixelClassifier, RobustnessMeter, RobustnessResult, Threat,
};
use cnn_train::{Classification, GradientStep, OptimizerConfig, Step, TrainConfig, Trainer};

const BATCH: usize = 32;

fn images(samples: usize, split: Split) -> anyhow::Result<Arc<dyn Dataset>> {
    let shapes = ShapesConfig::default()
        .with_samples(samples)
        .with_split(split)
        .with_difficulty(0.);
    Ok(Arc::new(Shapes::new(shapes)?))
}

/// Trains a network of three colours, under attack if a threat is given.
fn train(threat: Option<Threat>) -> anyhow::Result<Network> {
    let config = ModelConfig {
        in_channels: Some(3),
        ..ModelConfig::default()
    };
    let config = config.with_arg("channel_multiplier", 2);
    let network = Network::new("lenet5", &config, 0)?;
    let record = network.preprocessing();
    let (train, val) = (images(1500, Split::Train)?, images(100, Split::Val)?);
    let task = Classification::new(train, val, record.clone(), |mode| network.build(mode))?
        .with_batch_size(BATCH)?;
    let mut step: Box<dyn Step<Classification>> = match threat {
        Some(threat) => {
            let config = AdversarialConfig::new(AdversarialMethod::Pgd, threat)?.with_steps(4);
            let attacked = network.build(Mode::Eval)?;
            Box::new(AdversarialStep::new(config, attacked, record, BATCH)?)
        }
        None => Box::new(GradientStep::default()),
    };
    let config = TrainConfig {
        optimizer: OptimizerConfig::adamw(),
        learning_rate: 2e-3,
        ..TrainConfig::new(8)
    };
    let directory = tempfile::tempdir()?;
    Trainer::new(config, network.store(), directory.path()).run(&task, step.as_mut())?;
    Ok(network)
}

/// What PGD and the affordable AutoAttack leave of a network on test images.
fn attack(network: &Network, threat: Threat) -> anyhow::Result<RobustnessResult> {
    let model = PixelClassifier::new(network.model(), network.preprocessing())?;
    let mut meter = RobustnessMeter::new(vec![
        JudgedAttack::new(Box::new(Pgd::new(threat).with_steps(20))),
        JudgedAttack::new(Box::new(AutoAttack::cheap(threat))),
    ]);
    let test = images(100, Split::Test)?;
    PixelBatches::new(test.clone(), network.preprocessing())?.for_each(
        |index| Ok(test.label(index).map(|label| label as u32)),
        |batch| meter.add(&model, batch).map(drop),
    )?;
    Ok(meter.result())
}

fn main() -> anyhow::Result<()> {
    let threat = Threat::linf(6. / 255.)?;
    for (name, under) in [("plainly:     ", None), ("under attack:", Some(threat))] {
        let result = attack(&train(under)?, threat)?;
        let [clean, worst] = [result.clean_top1(), result.worst_top1()].map(|share| 100. * share);
        println!("trained {name} {clean:.0} % right, {worst:.0} % under attack");
    }
    Ok(())
}
