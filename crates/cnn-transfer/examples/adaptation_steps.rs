//! What an update of adaptation costs beside updates of the source alone, in turn:
//! `cargo run --example adaptation_steps -- [MODEL] [SIZE] [METHOD]`, by default `mobilenetv2_100`
//! at 224 pixels with `dann`, 32 images of each domain.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cnn_data::{CachedDataset, Dataset, Shapes, ShapesConfig, Split};
use cnn_models::{ModelConfig, Network};
use cnn_train::Notice;
use cnn_transfer::adapt::{Adaptation, AdaptationConfig, AdaptationMethod, Unlabelled};

const IMAGES: usize = 128;
const ROUNDS: usize = 5;
/// Of a round, the first of which is not timed.
const UPDATES: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().unwrap_or("mobilenetv2_100".to_string());
    let size: usize = arguments.next().map_or(Ok(224), |size| size.parse())?;
    let method = arguments.next().unwrap_or("dann".to_string()).parse()?;
    let images = Images::drawn(size)?;
    let directory = tempfile::tempdir()?;
    let mut alone = Vec::new();
    let mut adapted = Vec::new();
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let directory = directory.path().join(round.to_string());
        let of = |method: AdaptationMethod| images.seconds(&model, method, &directory);
        let source = median(of(AdaptationMethod::SourceOnly)?);
        let both = median(of(method)?);
        ratios.push(both / (2. * source));
        alone.push(source);
        adapted.push(both);
    }
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0., f64::max);
    println!(
        "{model} at {size}: source alone {:.0} ms, {method} {:.0} ms; {:.3} of two updates of the \
         source alone ({least:.3} to {most:.3})",
        1e3 * median(alone),
        1e3 * median(adapted),
        median(ratios)
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Images of both domains, which stay in memory.
struct Images {
    source: Arc<dyn Dataset>,
    validation: Arc<dyn Dataset>,
    target: Arc<dyn Dataset>,
}

impl Images {
    fn drawn(size: usize) -> Result<Self, Box<dyn Error>> {
        let drawn = |split, samples| -> Result<Arc<dyn Dataset>, cnn_data::Error> {
            let config = ShapesConfig::default().with_size(size, size);
            let shapes = Shapes::new(config.with_split(split).with_samples(samples))?;
            let cached = CachedDataset::new(Arc::new(shapes), usize::MAX);
            for image in 0..cached.len() {
                cached.read(image)?;
            }
            Ok(Arc::new(cached))
        };
        Ok(Self {
            source: drawn(Split::Train, IMAGES)?,
            validation: drawn(Split::Val, 4)?,
            target: drawn(Split::Test, IMAGES)?,
        })
    }

    /// The seconds of each update of an epoch but the first.
    fn seconds(
        &self,
        model: &str,
        method: AdaptationMethod,
        directory: &Path,
    ) -> Result<Vec<f64>, Box<dyn Error>> {
        let config = ModelConfig {
            num_classes: Some(self.source.classes().len()),
            ..ModelConfig::default()
        };
        let network = Network::new(model, &config, 0)?;
        let adaptation = Adaptation::new(
            network,
            self.source.clone(),
            self.validation.clone(),
            Unlabelled::new(self.target.clone()),
            AdaptationConfig {
                method,
                epochs: 1,
                updates: Some(UPDATES),
                ..AdaptationConfig::default()
            },
        )?;
        let mut last: Option<Instant> = None;
        let mut seconds = Vec::new();
        let mut adaptation = adaptation.with_listener(|notice| {
            if matches!(notice, Notice::Update { .. }) {
                let now = Instant::now();
                seconds.extend(last.map(|last| (now - last).as_secs_f64()));
                last = Some(now);
            }
        });
        adaptation.run(&directory.join(method.to_string()))?;
        drop(adaptation);
        Ok(seconds)
    }
}
