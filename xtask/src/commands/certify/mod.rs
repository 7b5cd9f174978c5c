//! `cargo xtask certify`: within which radius no attack changes a classifier's answers.

mod bounded;
mod figures;
mod report;
mod smoothed;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use cnn_data::Dataset;
use cnn_layers::Mode;
use cnn_models::Network;
use cnn_robust::attack::AttackBatch;
use cnn_robust::certify::{Certificate, CertifiedImages};
use cnn_robust::{AttackedModel, Error, PixelBatches, PixelClassifier};
use cnn_viz::Fact;
use serde::Serialize;
use serde_json::Value;

use crate::args::{DType, Unusable, part, positive};
use crate::labelled_images::{LabelledImages, NetworkLabels};
use crate::memory::{self, Workload};
use crate::network_args::NetworkArgs;
use crate::output::Progress;
use crate::{inference, output};

use bounded::Bounded;
use figures::Figures;
use report::Findings;
use smoothed::Smoothed;

const COMMAND: &str = "certify";
const PAGE: &str = "certify.html";
/// Flags that smoothing alone has a use for, and that bounds alone have.
const SMOOTHING_FLAGS: [&str; 5] = ["sigma", "n0", "n", "alpha", "clip"];
const INTERVAL_FLAGS: [&str; 1] = ["eps"];

/// Certify a classifier: within which radius no change gives another answer. By randomised
/// smoothing (Cohen et al. 2019), where it answers with the class that it gives most often under
/// noise and radii are in L2, or by interval bounds of its scores (Gowal et al. 2018), in L-infinity
#[derive(Debug, Args)]
pub(crate) struct Certify {
    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    images: LabelledImages,

    /// How: smoothing fits every network, interval small ones that `train --adversarial interval`
    /// taught to be certain
    #[arg(long, value_enum, default_value_t = Method::Smoothing)]
    method: Method,

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

    /// Of interval: the sizes of a change, of images with values in 0 to 1, as 0.1 or 8/255
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0.02,0.05,0.1,0.2,0.3", value_parser = bounded::size)]
    eps: Vec<f64>,

    /// Images per forward pass, noisy ones of smoothing
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Directory of the files; default a new one, `runs/certify/<model>-<n>`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// How an answer is certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    /// Most of an image's noisy copies have one class
    Smoothing,
    /// Bounds of the scores over all images within a size
    Interval,
}

/// A way to certify the answers of a network.
trait Certifier {
    /// What is certain of images; `answers` are what the network itself says of them, and `advance`
    /// is told how many are done.
    fn certify(
        &self,
        batch: &AttackBatch<'_>,
        answers: &[u32],
        advance: &dyn Fn(usize),
    ) -> Result<Vec<Certificate>, Error>;

    /// The norm of a radius as the table has it, and as the page.
    fn norm(&self) -> [&'static str; 2];

    /// The radii of the table.
    fn radii(&self) -> Vec<f64>;

    /// The radii of the curve.
    fn curve(&self) -> Vec<f64> {
        self.radii()
    }

    /// What the page says below the curve.
    fn description(&self) -> String;

    /// What whoever reads the figures has to know.
    fn notes(&self, figures: &Figures) -> Vec<String>;

    /// What the summary says beside what it says of every method.
    fn summary(&self, certified: &CertifiedImages) -> Value;

    /// What stands on top of the page.
    fn facts(&self, figures: &Figures) -> Result<Vec<Fact>>;

    /// What is printed below the table: what it is, and its value.
    fn lines(&self, figures: &Figures) -> Vec<[String; 2]>;
}

impl Certify {
    /// Runs with these arguments, of which `given` are those that the command line names.
    pub(crate) fn run(&self, given: &[String]) -> Result<()> {
        self.refuse_without_part(given)?;
        let network = self.network.load(DType::F32)?;
        memory::check(&network, self.batch.into(), Workload::Forward)?;
        let (data, dataset) = self.images.open(self.network.weights())?;
        let scorer = network.build(Mode::Inference)?;
        let model = PixelClassifier::new(network.model(), network.preprocessing())?
            .with_scorer(scorer.as_ref());
        let certifier: Box<dyn Certifier + '_> = match self.method {
            Method::Smoothing => Box::new(Smoothed::new(self, &model)?),
            Method::Interval => Box::new(Bounded::new(self, &network)?),
        };
        let figures = self.measure(&network, dataset, &model, certifier.as_ref())?;
        if figures.certified.samples() == 0 {
            bail!("nothing readable, or no image of a class that the network knows");
        }
        let directory = output::directory(self.out.as_deref(), COMMAND, network.spec().name)?;
        let report = Findings {
            command: self,
            certifier: certifier.as_ref(),
            figures: &figures,
        };
        report.write(&directory, network.spec().name, &data)?;
        inference::print_skipped(&figures.skipped);
        if self.json {
            output::json(&report.summary())?;
            eprintln!("written to {}", directory.display());
            return Ok(());
        }
        report.print()?;
        println!("report: {}", directory.join(PAGE).display());
        Ok(())
    }

    fn refuse_without_part(&self, given: &[String]) -> Result<()> {
        let flags: &[&str] = match self.method {
            Method::Smoothing => &INTERVAL_FLAGS,
            Method::Interval => &SMOOTHING_FLAGS,
        };
        let is_given = |flag: &&&str| given.iter().any(|given| given == **flag);
        let Some(flag) = flags.iter().find(is_given) else {
            return Ok(());
        };
        let method = self.method.to_possible_value();
        let method = method.map_or(String::new(), |method| method.get_name().to_string());
        Err(anyhow!("--{flag} has no part in {method}; leave it out")).context(Unusable)
    }

    fn measure(
        &self,
        network: &Network,
        dataset: Arc<dyn Dataset>,
        model: &dyn AttackedModel,
        certifier: &dyn Certifier,
    ) -> Result<Figures> {
        let begun = Instant::now();
        let labels = NetworkLabels::new(network, dataset.clone())?;
        let progress = RefCell::new(Progress::new(COMMAND, dataset.len()));
        let mut certified = CertifiedImages::default();
        let mut clean_correct = 0;
        let batches =
            PixelBatches::new(dataset, network.preprocessing())?.with_batch_size(self.batch.into());
        let skipped = batches.for_each(
            |index| labels.of(index),
            |batch| {
                let answers = model.logits(batch.images())?.predictions();
                let pairs = answers.iter().zip(batch.labels());
                clean_correct += pairs.filter(|(class, label)| class == label).count();
                let advance = |images| progress.borrow_mut().advance(images);
                let certificates = certifier.certify(batch, &answers, &advance)?;
                for (&label, certificate) in batch.labels().iter().zip(certificates) {
                    certified.add(label, certificate);
                }
                Ok(())
            },
        )?;
        progress.borrow().finish();
        let mut figures = Figures {
            certified,
            clean_correct,
            notes: labels.note.into_iter().collect(),
            skipped,
            seconds: begun.elapsed().as_secs_f64(),
        };
        let notes = certifier.notes(&figures);
        figures.notes.extend(notes);
        Ok(figures)
    }
}
