//! The attacks, batch by batch.

use std::cell::RefCell;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use cnn_core::Key;
use cnn_data::{Dataset, Skipped};
use cnn_layers::{Classifier, Mode};
use cnn_metrics::RocCurve;
use cnn_models::Network;
use cnn_robust::attack::{AttackBatch, Pgd};
use cnn_robust::defence::{DetectorMeter, FeatureSqueezing};
use cnn_robust::defence::{InputTransform, Transformed, parse_transform};
use cnn_robust::{
    AttackSettings, AttackedImages, AttackedModel, Diagnosis, Images, Norm, PixelBatches,
    PixelClassifier, RobustnessMeter, RobustnessResult, SweepPoint, Threat, diagnose, sweep,
};

use super::saved::Saver;
use super::smallest::Smallest;
use super::{AttackOptions, COMMAND};
use crate::args::Unusable;
use crate::labelled_images::NetworkLabels;
use crate::output::Progress;

/// Steps of the attack whose accuracy over the size is drawn.
const SWEEP_STEPS: usize = 20;
/// Its sizes, as shares of the one that was asked for.
const SWEEP_SHARES: [f64; 8] = [0., 0.125, 0.25, 0.5, 0.75, 1., 1.5, 2.];
/// Images that an attack on many images at once learns from at most.
const LEARNT_FROM: usize = 512;

/// What stays the same over the batches.
pub(super) struct Session<'a> {
    pub(super) options: &'a AttackOptions,
    seed: u64,
    pub(super) settings: AttackSettings,
    pub(super) network: &'a Network,
    pub(super) data: String,
    pub(super) dataset: Arc<dyn Dataset>,
    pub(super) names: Vec<String>,
    scorer: Box<dyn Classifier>,
    /// What stands before the network.
    pub(super) transforms: Vec<Box<dyn InputTransform>>,
    labels: NetworkLabels,
    target: Option<Target>,
}

/// What images are to be taken for.
#[derive(Clone, Copy)]
enum Target {
    Class(u32),
    Random,
    LeastLikely,
}

/// What came of the attacks.
pub(super) struct Found {
    pub(super) result: RobustnessResult,
    pub(super) diagnosis: Option<Diagnosis>,
    pub(super) sweep: Vec<SweepPoint>,
    pub(super) smallest: Option<Smallest>,
    /// What the detector finds of each attack; empty without one.
    pub(super) detected: Vec<Option<RocCurve>>,
    /// Images that were fooled, some of each attack.
    pub(super) pictures: Vec<Fooled>,
    pub(super) notes: Vec<String>,
    pub(super) skipped: Vec<Skipped>,
}

/// An image before and after.
pub(super) struct Fooled {
    pub(super) attack: usize,
    pub(super) index: usize,
    pub(super) clean: Images,
    pub(super) adversarial: Images,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        options: &'a AttackOptions,
        seed: u64,
        network: &'a Network,
        data: String,
        dataset: Arc<dyn Dataset>,
    ) -> Result<Self> {
        let names = cnn_transfer::class_names(network);
        let transforms = options.defence.iter().map(|name| parse_transform(name));
        let target = options.targeted.as_deref().map(|text| target(text, &names));
        Ok(Self {
            settings: options.settings()?,
            options,
            seed,
            network,
            data,
            labels: NetworkLabels::new(network, dataset.clone())?,
            dataset,
            transforms: transforms.collect::<Result<_, _>>()?,
            scorer: network.build(Mode::Inference)?,
            target: target.transpose()?,
            names,
        })
    }

    /// The network alone.
    pub(super) fn bare(&self) -> Result<PixelClassifier<'_>> {
        let model = PixelClassifier::new(self.network.model(), self.network.preprocessing())?;
        Ok(model.with_scorer(self.scorer.as_ref()))
    }

    fn batches(&self, dataset: Arc<dyn Dataset>) -> Result<PixelBatches> {
        Ok(PixelBatches::new(dataset, self.network.preprocessing())?
            .with_batch_size(self.options.batch.into())
            .with_key(Key::new(self.seed).stream(COMMAND)))
    }

    /// The first images, batch by batch, at most so many.
    fn first(&self, most: usize) -> Result<Vec<AttackBatch<'static>>> {
        let most = most.min(self.dataset.len());
        if most == 0 {
            return Ok(Vec::new());
        }
        let indices: Vec<usize> = (0..most).collect();
        let some = Arc::new(cnn_data::Subset::new(self.dataset.clone(), indices)?);
        let mut first = Vec::new();
        self.batches(some)?.for_each(
            |index| self.labels.of(index),
            |batch| {
                first.push(batch.clone());
                Ok(())
            },
        )?;
        Ok(first)
    }

    /// The batch with what its images are to be taken for.
    fn aimed<'b>(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'b>,
    ) -> Result<AttackBatch<'b>, cnn_robust::Error> {
        let Some(target) = self.target else {
            return Ok(batch.clone());
        };
        let classes = model.num_classes() as u64;
        let targets = match target {
            Target::Class(class) => vec![class; batch.len()],
            Target::Random => {
                let key = Key::new(self.seed).stream("targets");
                let of = |(sample, label): (&u64, &u32)| {
                    let other = key.at(*sample).rng().below((classes - 1).max(1)) as u32;
                    other + u32::from(other >= *label)
                };
                batch.samples().iter().zip(batch.labels()).map(of).collect()
            }
            Target::LeastLikely => {
                let logits = model.logits(batch.images())?;
                let lowest = |row: &[f64]| {
                    let lower = |best: usize, class: usize| {
                        if row[class] < row[best] { class } else { best }
                    };
                    (0..row.len()).fold(0, lower) as u32
                };
                logits.rows().map(lowest).collect()
            }
        };
        let batch = batch.clone().with_targets(targets)?;
        // An image of the target's own class has nothing to be led to.
        let targets = batch.targets().unwrap_or_default();
        let others: Vec<usize> = (0..batch.len())
            .filter(|&place| targets[place] != batch.labels()[place])
            .collect();
        Ok(batch.select(&others))
    }

    pub(super) fn run(&self) -> Result<Found> {
        let bare = self.bare()?;
        let model = Transformed::new(&bare, &self.transforms);
        let learns = self.options.attack.iter().any(|attack| attack.learns);
        let looked_at = if learns { LEARNT_FROM } else { 1 };
        let learnt_from = self.first(looked_at)?;
        let build = |attack: &&'static cnn_robust::NamedAttack| {
            attack
                .build(&self.settings, &model, &learnt_from)
                .with_context(|| attack.name)
        };
        let attacks = self.options.attack.iter().map(build);
        let mut meter = RobustnessMeter::new(attacks.collect::<Result<_>>()?);
        drop(learnt_from);
        let mut detector = self.detector()?;
        let mut pictures = Vec::new();
        let mut saver = self.options.save.as_deref().map(Saver::new);
        let mut failed = None;
        let progress = RefCell::new(Progress::new(COMMAND, self.dataset.len()));
        let skipped = self.batches(self.dataset.clone())?.for_each(
            |index| self.labels.of(index),
            |batch| {
                let images = batch.len();
                let batch = self.aimed(&model, batch)?;
                let attacked = if self.transforms.is_empty() {
                    meter.add(&model, &batch)?
                } else {
                    meter.add_defended(&model, &bare, &batch)?
                };
                if let Some(detector) = &mut detector {
                    detector.add(&model, &batch, &attacked)?;
                }
                for (place, attacked) in attacked.attacks.iter().enumerate() {
                    self.show(place, &batch, attacked, &mut pictures);
                }
                if let Some(saver) = &mut saver
                    && let Err(error) = saver.save(self, &batch, &attacked)
                {
                    let stop = cnn_robust::Error::Other(error.to_string().into());
                    failed = Some(error);
                    return Err(stop);
                }
                progress.borrow_mut().advance(images);
                Ok(())
            },
        );
        if let Some(error) = failed {
            return Err(error);
        }
        let skipped = skipped?;
        progress.borrow().finish();
        let (diagnosis, diagnosis_note) = self.diagnosis(&model)?;
        let result = meter.result();
        Ok(Found {
            notes: self.notes(&result, diagnosis_note),
            result,
            diagnosis,
            sweep: self.sweep(&model)?,
            smallest: self.smallest(&model)?,
            detected: detector.map_or(Ok(Vec::new()), |detector| detector.curves())?,
            pictures,
            skipped,
        })
    }

    /// The detector that was asked for.
    fn detector(&self) -> Result<Option<DetectorMeter>> {
        if self.options.detect.is_none() {
            return Ok(None);
        }
        let channels = self.network.preprocessing().channels();
        let squeezing = FeatureSqueezing::of_channels(channels)?;
        let attacks = self.options.attack.len();
        Ok(Some(DetectorMeter::new(Box::new(squeezing), attacks)))
    }

    /// Keeps some of the images that were fooled.
    fn show(
        &self,
        attack: usize,
        batch: &AttackBatch<'_>,
        attacked: &AttackedImages,
        pictures: &mut Vec<Fooled>,
    ) {
        let so_far = pictures
            .iter()
            .filter(|fooled| fooled.attack == attack)
            .count();
        let fooled = (0..batch.len()).filter(|&place| attacked.fooled[place]);
        for place in fooled.take(self.options.pictures.saturating_sub(so_far)) {
            pictures.push(Fooled {
                attack,
                index: batch.samples()[place] as usize,
                clean: batch.images().select(&[place]),
                adversarial: attacked.images.select(&[place]),
            });
        }
    }

    /// What looks wrong, and why nobody looked.
    fn diagnosis(&self, model: &dyn AttackedModel) -> Result<(Option<Diagnosis>, Option<String>)> {
        if self.options.diagnose == 0 {
            return Ok((None, None));
        }
        if self.settings.threat.norm == Norm::L1 || self.settings.threat.eps == 0. {
            let note = "signs of hidden gradients are looked for in linf and l2, at a size above 0";
            return Ok((None, Some(note.to_string())));
        }
        eprintln!("looking for signs that gradients are hidden");
        let batches = self.first(self.options.diagnose)?;
        let found = diagnose(model, &batches, self.settings.threat)?;
        Ok((Some(found), None))
    }

    /// The accuracy under PGD over its size.
    fn sweep(&self, model: &dyn AttackedModel) -> Result<Vec<SweepPoint>> {
        let Threat { norm, eps } = self.settings.threat;
        if self.options.sweep == 0 || eps == 0. {
            return Ok(Vec::new());
        }
        let sizes = SWEEP_SHARES.map(|share| share * eps);
        let first = self.first(self.options.sweep)?;
        let batches = first.iter().map(|batch| self.aimed(model, batch));
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        let points = sweep(model, &batches, &sizes, &|eps| {
            let pgd = Pgd::new(Threat::new(norm, eps)?).with_steps(SWEEP_STEPS);
            Ok(Box::new(pgd.with_early_stop(true)))
        })?;
        Ok(points)
    }

    /// The smallest change that fools each of some images.
    fn smallest(&self, model: &dyn AttackedModel) -> Result<Option<Smallest>> {
        let threat = self.settings.threat;
        if self.options.smallest == 0 || threat.eps == 0. {
            return Ok(None);
        }
        let first = self.first(self.options.smallest)?;
        let batches = first.iter().map(|batch| self.aimed(model, batch));
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Smallest::find(model, &batches, threat)?))
    }

    /// What whoever reads the figures has to know.
    fn notes(&self, result: &RobustnessResult, diagnosis: Option<String>) -> Vec<String> {
        let mut notes: Vec<String> = self.labels.note.iter().cloned().chain(diagnosis).collect();
        let is_one_step = |name: &str| ["fgsm", "ffgsm"].contains(&name);
        if result
            .attacks
            .iter()
            .all(|attack| is_one_step(&attack.name))
        {
            notes.push(
                "attacks of one step say nothing of robustness: add pgd, and cheap or autoattack"
                    .to_string(),
            );
        }
        if !self.transforms.is_empty() {
            notes.push(format!(
                "the network sees images after {}: what counts is what attackers who know of it leave",
                self.options.defence.join(", ")
            ));
        }
        let queries_scores = |name: &str| name.starts_with("autoattack") || name == "square";
        let names = || result.attacks.iter().map(|attack| attack.name.as_str());
        if !self.transforms.is_empty() && !names().any(queries_scores) {
            notes.push(
                "gradients through a transform are approximate, and attacks that follow them alone leave too much: add autoattack or square"
                    .to_string(),
            );
        }
        if self.options.detect.is_some() {
            notes.push(
                "the attacks do not know of the detector: what it finds of them is no measure of robustness"
                    .to_string(),
            );
        }
        if self.target.is_some() {
            notes.push(
                "attacks were aimed at a class: what they leave is more than attacks that are not would"
                    .to_string(),
            );
        }
        notes
    }

    pub(super) fn names_of_attacks(&self) -> Vec<&'static str> {
        self.options
            .attack
            .iter()
            .map(|attack| attack.name)
            .collect()
    }

    pub(super) fn path(&self, index: usize) -> String {
        self.dataset.id(index)
    }
}

/// What the text asks for.
fn target(text: &str, names: &[String]) -> Result<Target> {
    match text {
        "random" => return Ok(Target::Random),
        "least-likely" => return Ok(Target::LeastLikely),
        _ => {}
    }
    let by_number = text.parse().ok().filter(|number| *number < names.len());
    let by_name = || names.iter().position(|name| name == text);
    let class = by_number.or_else(by_name).ok_or_else(|| {
        let nearest = cnn_core::did_you_mean(text, names.iter().map(String::as_str));
        anyhow!(
            "--targeted {text}: no class of the network{nearest}; a name or a number below {}, `random` or `least-likely` is accepted",
            names.len()
        )
        .context(Unusable)
    })?;
    Ok(Target::Class(class as u32))
}
