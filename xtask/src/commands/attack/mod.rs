//! `cargo xtask attack`: what attacks leave of a classifier's accuracy.

mod page;
mod printed;
mod raw;
mod saved;
mod session;
mod smallest;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use cnn_data::Dataset;
use cnn_models::Network;
use cnn_robust::defence::parse_transform;
use cnn_robust::{AttackSettings, NamedAttack, Norm, Threat, find_attack, parse_eps};
use cnn_viz::RobustnessResults;
use serde_json::{Value, json};

use crate::args::{DType, Unusable, accepted};
use crate::labelled_images::LabelledImages;
use crate::memory::{self, Workload};
use crate::network_args::NetworkArgs;
use crate::{inference, output};

use session::Session;

const COMMAND: &str = "attack";
const PAGE: &str = "attack.html";

// Defaults of the options.
const DIAGNOSE: usize = 100;
const SWEEP: usize = 100;
const PICTURES: usize = 4;
const BATCH: u16 = 64;

/// Attack a classifier and say what is left of its accuracy: each attack, the worst of all image by
/// image, the accuracy over the size of the change, and signs that such figures deceive
#[derive(Debug, Args)]
pub(crate) struct Attack {
    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    images: LabelledImages,

    #[command(flatten)]
    options: AttackOptions,

    /// Attack the raw batch of a safetensors file instead of a dataset, to hold an attack against
    /// another program: `images` (N,C,H,W) in 0 to 1, `labels` (N), for targets `targets` (N), for
    /// random numbers `draw.NAME.RESTART.STEP` with a row for each image
    #[arg(long, value_name = "FILE", requires = "output", conflicts_with_all = ["data", "split", "save", "out", "targeted", "defence", "detect"])]
    input: Option<PathBuf>,

    /// Of --input: the file to write, with `ATTACK.adversarial`, `ATTACK.success`, and each batch
    /// that a gradient was asked for as `ATTACK.queried.N`
    #[arg(long, value_name = "FILE", requires = "input")]
    output: Option<PathBuf>,

    /// Of --input: element type of the computation
    #[arg(long, value_enum, default_value_t = DType::F32)]
    dtype: DType,

    /// Directory of the files; default a new one, `runs/attack/<model>-<n>`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Which attacks are made, and what is looked at beside them.
#[derive(Debug, Args)]
pub(crate) struct AttackOptions {
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "fgsm,pgd,cheap", value_parser = attack, help = attack_help())]
    attack: Vec<&'static NamedAttack>,

    /// How the size of a change is measured: linf, l2 or l1
    #[arg(long, value_name = "NORM", default_value = "linf", value_parser = norm)]
    norm: Norm,

    /// The largest size of a change, of images with values in 0 to 1, as 8/255 or 0.3; default
    /// 8/255 in linf, 0.5 in l2, 12 in l1
    #[arg(long, value_name = "SIZE", value_parser = eps)]
    eps: Option<f64>,

    /// Steps of the attacks that take steps; default each one's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,

    /// How far a step of bim and pgd goes, as 2/255; default 2.5 times the size over the steps
    #[arg(long, value_name = "SIZE", value_parser = eps)]
    step_size: Option<f64>,

    /// Random starts of the attacks that take several; default each one's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    restarts: Option<u32>,

    /// Queries of the square attack for each image; default 5000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    queries: Option<u32>,

    /// The class that images are to be taken for: a class's name or number, `random`, or
    /// `least-likely`; default any other than their own
    #[arg(long, value_name = "CLASS")]
    targeted: Option<String>,

    /// What is done to images before the network sees them, one after the other, as a defence:
    /// jpeg:QUALITY, bits:BITS, median:SIZE, gaussian:SIGMA. Each attack is made by an attacker who
    /// knows of it and by one who does not, and the worst of both counts
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = defence)]
    defence: Vec<String>,

    /// A detector that is to tell attacked images from others, measured by the area under its ROC
    /// curve: squeeze (feature squeezing; Xu et al. 2018). The attacks do not know of it
    #[arg(long, value_name = "NAME", value_parser = ["squeeze"])]
    detect: Option<String>,

    /// Images on which to look for signs that gradients are hidden; 0 for not looking
    #[arg(long, value_name = "N", default_value_t = DIAGNOSE)]
    diagnose: usize,

    /// Images of the curve of pgd over the size; 0 for none
    #[arg(long, value_name = "N", default_value_t = SWEEP)]
    sweep: usize,

    /// Fooled images that the page shows of each attack
    #[arg(long, value_name = "N", default_value_t = PICTURES)]
    pictures: usize,

    /// Images per pass
    #[arg(long, value_name = "N", default_value_t = BATCH, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Images of which the smallest change that pgd needs is looked for; 0 for none
    #[arg(long, value_name = "N", default_value_t = 0)]
    smallest: usize,

    /// Write the changed images of each attack into this directory: as PNG, whose rounding may undo
    /// a change, and batch by batch as the tensors `clean`, `adversarial`, `labels`, `predictions`,
    /// `indices`
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

fn attack_help() -> String {
    let line = |attack: &NamedAttack| format!("{} ({})", attack.name, attack.about);
    let all: Vec<String> = cnn_robust::ATTACKS.iter().map(line).collect();
    format!("Attacks, one after the other: {}", all.join("; "))
}

fn attack(text: &str) -> Result<&'static NamedAttack, String> {
    find_attack(text.trim()).map_err(|error| accepted(&error))
}

fn norm(text: &str) -> Result<Norm, String> {
    text.parse().map_err(|error| accepted(&error))
}

fn defence(text: &str) -> Result<String, String> {
    let transform = parse_transform(text.trim()).map_err(|error| accepted(&error))?;
    Ok(transform.name())
}

fn eps(text: &str) -> Result<f64, String> {
    parse_eps(text).map_err(|error| accepted(&error))
}

impl Attack {
    pub(crate) fn run(&self) -> Result<()> {
        // What cannot be attacked is said before a network is loaded.
        self.options.settings()?;
        if let (Some(input), Some(output)) = (&self.input, &self.output) {
            return raw::run(self, input, output);
        }
        let network = self.network.load(DType::F32)?;
        memory::check(&network, self.options.batch.into(), Workload::Training)?;
        let (data, dataset) = self.images.open(self.network.weights())?;
        let seed = self.network.seed;
        let session = Session::new(&self.options, seed, &network, data, dataset)?;
        let found = session.run()?;
        if found.result.samples == 0 {
            bail!("nothing readable, or no image of a class that the network knows");
        }
        let directory = output::directory(self.out.as_deref(), COMMAND, network.spec().name)?;
        let mut summary = printed::summary(&session, &found)?;
        summary["weights"] = json!(self.network.weights());
        saved::write(self, &session, &found, &summary, &directory)?;
        inference::print_skipped(&found.skipped);
        if self.json {
            output::json(&summary)?;
            eprintln!("written to {}", directory.display());
            return Ok(());
        }
        printed::print(&session, &found)?;
        println!("report: {}", directory.join(PAGE).display());
        Ok(())
    }
}

impl AttackOptions {
    /// Some attacks with changes up to a size, all else by default.
    ///
    /// # Errors
    /// If one of them does not work in the norm.
    pub(crate) fn new(attack: Vec<&'static NamedAttack>, threat: Threat) -> Result<Self> {
        let this = Self {
            attack,
            norm: threat.norm,
            eps: Some(threat.eps),
            steps: None,
            step_size: None,
            restarts: None,
            queries: None,
            targeted: None,
            defence: Vec::new(),
            detect: None,
            diagnose: DIAGNOSE,
            sweep: SWEEP,
            pictures: PICTURES,
            batch: BATCH,
            smallest: 0,
            save: None,
        };
        this.settings()?;
        Ok(this)
    }

    /// What the attacks are built with, once each works in the norm.
    fn settings(&self) -> Result<AttackSettings> {
        for attack in &self.attack {
            if !attack.norms.contains(&self.norm) {
                let norms: Vec<&str> = attack.norms.iter().map(|norm| norm.name()).collect();
                let norms = norms.join(" and ");
                let error =
                    anyhow::anyhow!("{} works in {norms}, not in {}", attack.name, self.norm);
                return Err(error.context(Unusable));
            }
        }
        let eps = self.eps.unwrap_or(match self.norm {
            Norm::Linf => 8. / 255.,
            Norm::L2 => 0.5,
            Norm::L1 => 12.,
        });
        let number = |number: Option<u32>| number.map(|number| number as usize);
        Ok(AttackSettings {
            threat: Threat::new(self.norm, eps).context(Unusable)?,
            steps: number(self.steps),
            step_size: self.step_size,
            restarts: number(self.restarts),
            queries: number(self.queries),
        })
    }
}

/// What attacks on a network came to.
pub(crate) struct Attacked {
    /// The figures for programs.
    pub(crate) summary: Value,
    /// The section of a page.
    pub(crate) results: RobustnessResults,
    /// The figures in a line.
    pub(crate) said: String,
}

/// Attacks a network on images of `data`.
pub(crate) fn attack_network(
    options: &AttackOptions,
    seed: u64,
    network: &Network,
    data: String,
    images: Arc<dyn Dataset>,
) -> Result<Attacked> {
    let session = Session::new(options, seed, network, data, images)?;
    let found = session.run()?;
    Ok(Attacked {
        summary: printed::summary(&session, &found)?,
        results: page::results(&session, &found)?,
        said: printed::line(&session, &found)?,
    })
}
