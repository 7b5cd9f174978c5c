//! `cargo xtask certify`: within which radius no attack changes a smoothed classifier's answers.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use cnn_core::{Key, write_atomic};
use cnn_data::{Dataset, Skipped, Split};
use cnn_layers::Mode;
use cnn_models::Network;
use cnn_robust::certify::{CertifiedImages, Smoothing};
use cnn_robust::{AttackedModel, PixelBatches, PixelClassifier};
use cnn_viz::{Fact, Report, RobustnessResults, SizePoint, Timing};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{DType, part, positive};
use crate::byline::byline;
use crate::labelled_images::{LabelledImages, NetworkLabels};
use crate::memory::{self, Workload};
use crate::network_args::NetworkArgs;
use crate::output::Progress;
use crate::training::save_arguments;
use crate::{inference, output};

const COMMAND: &str = "certify";
const PAGE: &str = "certify.html";
/// Radii of the table for each standard deviation of the noise, and points of the curve for each of
/// those.
const RADII: usize = 4;
const POINTS: usize = 8;
/// Below this part of the accuracy without noise the network is said not to have learnt from noise.
const LOST: f64 = 0.8;

/// Certify a classifier by randomised smoothing (Cohen et al. 2019): it answers with the class that
/// it gives most often under noise, and no change within a radius in L2 gives another
#[derive(Debug, Args)]
pub(crate) struct Certify {
    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    images: LabelledImages,

    /// Standard deviation of the noise, of images with values in 0 to 1; `train --noise` teaches a
    /// network to see through it
    #[arg(long, value_name = "SIGMA", default_value_t = 0.25, value_parser = positive)]
    sigma: f64,

    /// Noisy images that choose the class
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    n0: u32,

    /// Further noisy images that estimate its probability: the largest radius grows with their
    /// number
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,

    /// How likely a certificate may be wrong
    #[arg(long, value_name = "SHARE", default_value_t = 0.001, value_parser = part)]
    alpha: f64,

    /// Bring noisy values back to 0 to 1 before the network sees them, as those of `train --noise`
    /// were; certificates hold all the same
    #[arg(long)]
    clip: bool,

    /// Noisy images per forward pass
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Directory of the files; default a new one, `runs/certify/<model>-<n>`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What the run directory says of how it was made.
#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    weights: &'a str,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Split>,
    samples: usize,
    sigma: f64,
    n0: u32,
    n: u32,
    alpha: f64,
    clip: bool,
    batch: u16,
}

/// What was measured.
struct Figures {
    certified: CertifiedImages,
    /// How many images the network itself is right about, without noise.
    clean_correct: usize,
    /// The largest radius that so many noisy images can certify.
    reach: f64,
    notes: Vec<String>,
    skipped: Vec<Skipped>,
    seconds: f64,
}

impl Certify {
    pub(crate) fn run(&self) -> Result<()> {
        let network = self.network.load(DType::F32)?;
        memory::check(&network, self.batch.into(), Workload::Forward)?;
        let (data, dataset) = self.images.open(self.network.weights())?;
        let figures = self.measure(&network, dataset)?;
        if figures.certified.samples() == 0 {
            bail!("nothing readable, or no image of a class that the network knows");
        }
        let directory = output::directory(self.out.as_deref(), COMMAND, network.spec().name)?;
        let summary = self.summary(&figures);
        self.write(&directory, &network, &data, &figures, &summary)?;
        inference::print_skipped(&figures.skipped);
        if self.json {
            output::json(&summary)?;
            eprintln!("written to {}", directory.display());
            return Ok(());
        }
        self.print(&figures)?;
        println!("report: {}", directory.join(PAGE).display());
        Ok(())
    }

    fn measure(&self, network: &Network, dataset: Arc<dyn Dataset>) -> Result<Figures> {
        let begun = Instant::now();
        let smoothing = Smoothing::new(self.sigma)?
            .with_samples(self.n0 as usize, self.n as usize)?
            .with_alpha(self.alpha)?
            .with_batch(self.batch.into())?
            .with_clipping(self.clip);
        let scorer = network.build(Mode::Inference)?;
        let model = PixelClassifier::new(network.model(), network.preprocessing())?
            .with_scorer(scorer.as_ref());
        let labels = NetworkLabels::new(network, dataset.clone())?;
        let key = Key::new(self.network.seed).stream(COMMAND);
        let progress = RefCell::new(Progress::new(COMMAND, dataset.len()));
        let mut certified = CertifiedImages::default();
        let mut clean_correct = 0;
        let batches =
            PixelBatches::new(dataset, network.preprocessing())?.with_batch_size(self.batch.into());
        let skipped = batches.for_each(
            |index| labels.of(index),
            |batch| {
                let predictions = model.logits(batch.images())?.predictions();
                let pairs = predictions.iter().zip(batch.labels());
                clean_correct += pairs.filter(|(class, label)| class == label).count();
                for (place, (&label, &sample)) in
                    batch.labels().iter().zip(batch.samples()).enumerate()
                {
                    let image = batch.images().select(&[place]);
                    certified.add(label, smoothing.certify(&model, &image, sample, &key)?);
                    progress.borrow_mut().advance(1);
                }
                Ok(())
            },
        )?;
        progress.borrow().finish();
        let mut figures = Figures {
            certified,
            clean_correct,
            reach: smoothing.reach()?,
            notes: labels.note.into_iter().collect(),
            skipped,
            seconds: begun.elapsed().as_secs_f64(),
        };
        let notes = self.notes(&figures);
        figures.notes.extend(notes);
        Ok(figures)
    }

    /// What whoever reads the figures has to know.
    fn notes(&self, figures: &Figures) -> Vec<String> {
        let mut notes = Vec::new();
        if figures.reach == 0. {
            notes.push(format!(
                "{} noisy images are too few for any certificate at alpha {}: every image is abstained from",
                self.n, self.alpha
            ));
        } else if figures.certified.smoothed_top1() < LOST * figures.clean_top1() {
            notes.push(format!(
                "the network does not see through this noise: certificates get better if it learns from it, by \
                 train --noise {} or finetune --noise {}, and certify --clip sees what such a network has learnt from",
                self.sigma, self.sigma
            ));
        }
        notes
    }

    fn summary(&self, figures: &Figures) -> Value {
        let certified = &figures.certified;
        let radii = self.radii(figures, RADII).into_iter().map(|radius| {
            json!({ "radius": radius, "certified_top1": certified.certified_top1(radius) })
        });
        json!({
            "samples": certified.samples(),
            "clean_top1": figures.clean_top1(),
            "smoothed_top1": certified.smoothed_top1(),
            "abstained": certified.abstained(),
            "certified_wrong": certified.share_of_wrong(),
            "sigma": self.sigma,
            "alpha": self.alpha,
            "n0": self.n0,
            "n": self.n,
            "clip": self.clip,
            "radii": radii.collect::<Vec<_>>(),
            "largest_radius": figures.reach,
            "mean_radius": certified.mean_radius(),
            "seconds": figures.seconds,
            "seed": self.network.seed,
            "skipped": figures.skipped,
            "weights": self.network.weights(),
            "notes": figures.notes,
        })
    }

    /// So many radii for each standard deviation, from 0 as far as certificates reach.
    fn radii(&self, figures: &Figures, per_sigma: usize) -> Vec<f64> {
        let step = self.sigma / per_sigma as f64;
        let count = (figures.reach / step) as usize;
        (0..=count).map(|number| number as f64 * step).collect()
    }

    fn write(
        &self,
        directory: &Path,
        network: &Network,
        data: &str,
        figures: &Figures,
        summary: &Value,
    ) -> Result<()> {
        save_arguments(
            &Arguments {
                model: self.network.model.as_deref(),
                weights: self.network.weights(),
                seed: self.network.seed,
                data: self.images.data.as_deref(),
                split: self.images.split,
                samples: self.images.samples,
                sigma: self.sigma,
                n0: self.n0,
                n: self.n,
                alpha: self.alpha,
                clip: self.clip,
                batch: self.batch,
            },
            directory,
        )?;
        let json = serde_json::to_string_pretty(summary)? + "\n";
        write_atomic(&directory.join("summary.json"), |file| {
            file.write_all(json.as_bytes())
        })?;
        let html = self.page(network, data, figures)?.to_html()?;
        write_atomic(&directory.join(PAGE), |file| {
            file.write_all(html.as_bytes())
        })?;
        Ok(())
    }

    fn page(&self, network: &Network, data: &str, figures: &Figures) -> Result<Report> {
        let certified = &figures.certified;
        let percent = |share: f64| format!("{:.1}\u{a0}%", 100. * share);
        let interval = certified.interval(0.)?;
        let samples = certified.samples();
        Ok(Report {
            title: format!("{} certified", network.spec().name),
            byline: Some(byline()),
            summary: vec![
                Fact::new("without noise", percent(figures.clean_top1()))
                    .with_note("the network itself, right"),
                Fact::new("smoothed", percent(certified.smoothed_top1())).with_note(format!(
                    "right; 95 % interval {} to {}",
                    percent(interval.low),
                    percent(interval.high)
                )),
                Fact::new("mean radius", format!("{:.3}", certified.mean_radius()))
                    .with_note("in L2, 0 where it is not right"),
                Fact::new("abstained", percent(certified.abstained()))
                    .with_note("no class is frequent enough under noise"),
                Fact::new("images", samples.to_string()).with_note(data),
            ],
            notes: figures.notes.clone(),
            robustness: Some(self.results(figures)?),
            skipped: figures.skipped.clone(),
            timings: vec![Timing {
                name: COMMAND.to_string(),
                seconds: figures.seconds,
                images_per_second: Some(samples as f64 / figures.seconds),
            }],
            ..Report::default()
        })
    }

    fn results(&self, figures: &Figures) -> Result<RobustnessResults> {
        let certified = &figures.certified;
        let point = |radius: f64| {
            let interval = certified.interval(radius)?;
            Ok(SizePoint {
                eps: radius,
                robust: [
                    certified.certified_top1(radius),
                    interval.low,
                    interval.high,
                ],
            })
        };
        let points = self.radii(figures, RADII * POINTS).into_iter().map(point);
        Ok(RobustnessResults {
            evaluated_on: format!(
                "Of {} images the share whose class is right and stays the same under every change \
                 within a radius in L2, of images with values in 0 to 1",
                certified.samples()
            ),
            certified: points.collect::<Result<_>>()?,
            certified_of: format!(
                "Randomised smoothing with noise of {}, {} and {} noisy images for each image; each \
                 certificate is wrong with probability {} at most",
                self.sigma, self.n0, self.n, self.alpha
            ),
            ..RobustnessResults::default()
        })
    }

    fn print(&self, figures: &Figures) -> Result<()> {
        let certified = &figures.certified;
        let percent = |share: f64| format!("{:.2}", 100. * share);
        let row = |radius: f64| {
            let interval = certified.interval(radius)?;
            Ok(vec![
                format!("{radius:.4}"),
                percent(certified.certified_top1(radius)),
                format!("{} to {}", percent(interval.low), percent(interval.high)),
            ])
        };
        let rows = self.radii(figures, RADII).into_iter().map(row);
        let columns = [
            ("radius in l2", true),
            ("certified %", true),
            ("95 % interval", true),
        ];
        output::table(&columns, &rows.collect::<Result<Vec<_>>>()?)?;
        println!();
        println!("samples              {}", certified.samples());
        println!(
            "without noise        {} % right",
            percent(figures.clean_top1())
        );
        println!(
            "smoothed             {} % right",
            percent(certified.smoothed_top1())
        );
        println!(
            "certified but wrong  {} %",
            percent(certified.share_of_wrong())
        );
        println!("abstained            {} %", percent(certified.abstained()));
        println!(
            "mean radius          {:.4} (at most {:.4} with {} noisy images)",
            certified.mean_radius(),
            figures.reach,
            self.n
        );
        for note in &figures.notes {
            println!("Note: {note}.");
        }
        println!("certified in {:.1} s", figures.seconds);
        Ok(())
    }
}

impl Figures {
    fn clean_top1(&self) -> f64 {
        self.clean_correct as f64 / self.certified.samples().max(1) as f64
    }
}
