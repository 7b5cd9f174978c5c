//! `cargo xtask push`: a network as a repository of the hub, which timm loads, too.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use cnn_core::write_atomic;
use cnn_hub::{Push as Request, Repo, RepoKind, Upload, Visibility};
use cnn_models::{LoadOptions, Network};
use serde_json::json;

use crate::args::Unusable;
use crate::conclusion::sha256;
use crate::hub::{self, Published, Transfers};
use crate::model_card::{Card, RunRecord};
use crate::network_args::note_loaded;
use crate::next_steps::{self, NextStep};
use crate::output;

/// Put a network with a model card into a folder that timm loads, and upload it to the Hugging Face
/// hub
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// A run directory (its best epoch), or a directory with config.json and weights
    directory: PathBuf,

    /// The repository, `owner/name` or `owner/name@branch`; it is made where there is none
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<String>,

    /// SPDX name of the licence; default that of the published weights that it began with
    #[arg(long, value_name = "NAME")]
    license: Option<String>,

    /// Make a new repository public, rather than private
    #[arg(long)]
    public: bool,

    /// Make the folder, and upload nothing
    #[arg(long)]
    dry_run: bool,

    /// The folder that is uploaded; default a new one below `runs/push`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

const COMMAND: &str = "push";
const CARD: &str = "README.md";
const ARGUMENTS: &str = "args.toml";

impl Push {
    pub(crate) fn run(&self) -> Result<()> {
        let repo = self.repo()?;
        if repo.is_none() && !self.dry_run {
            let message = "name the repository by --repo owner/name, or see what would be \
                           uploaded by --dry-run";
            return Err(anyhow!(message).context(Unusable));
        }
        let network = Network::load(&self.directory, &LoadOptions::default())?;
        note_loaded(&network);
        let folder = output::directory(self.out.as_deref(), COMMAND, network.spec().name)?;
        let files = self.prepare(&network, repo.as_ref(), &folder)?;
        if !self.json {
            for file in &files {
                let size = file.source().metadata().map_or(0, |data| data.len());
                println!("{}  {}", file.path(), hub::bytes(size));
            }
            println!("in {}", folder.display());
        }
        let names: Vec<&str> = files.iter().map(Upload::path).collect();
        let mut answer = json!({"directory": folder, "files": names});
        if let Some(repo) = repo.filter(|_| !self.dry_run) {
            let visibility = if self.public {
                Visibility::Public
            } else {
                Visibility::Private
            };
            let message = format!("Add {}", network.spec().name);
            let request = Request::new(repo, files, &message)?.with_visibility(visibility);
            let mut progress = Transfers::uploading();
            let pushed = hub::hub()?.push(&request, &mut progress);
            progress.finish();
            let pushed = pushed.with_context(|| request.repo().to_string())?;
            if !self.json {
                println!("{} is at commit {}", pushed.page, pushed.commit);
                let weights = request.repo().to_string();
                next_steps::print(&[NextStep::new(
                    "use it from anywhere",
                    &["predict", "PHOTOS", "--weights", &weights],
                )]);
            }
            answer["page"] = pushed.page.into();
            answer["commit"] = pushed.commit.into();
        }
        if self.json {
            output::json(&answer)?;
        }
        Ok(())
    }

    fn repo(&self) -> Result<Option<Repo>> {
        let Some(text) = &self.repo else {
            return Ok(None);
        };
        let repo: Repo = text.parse().context(Unusable)?;
        if repo.kind() != RepoKind::Model || !repo.id().contains('/') {
            return Err(anyhow!("--repo: found {text}, expected owner/name").context(Unusable));
        }
        Ok(Some(repo))
    }

    /// Writes weights, configuration, card and the run's arguments, and says which files they are.
    fn prepare(
        &self,
        network: &Network,
        repo: Option<&Repo>,
        folder: &Path,
    ) -> Result<Vec<Upload>> {
        network.save(folder)?;
        let run = RunRecord::read(&self.directory);
        let license = self.license.clone().or_else(|| {
            run.as_ref()
                .and_then(RunRecord::source)
                .and_then(license_of)
        });
        if license.is_none() {
            eprintln!(
                "note: the card names no licence, since that of the weights is not known; \
                 --license names one"
            );
        }
        let placeholder = format!("OWNER/{}", network.spec().name);
        let card = Card {
            id: repo.map_or(&placeholder, Repo::id),
            network,
            sha256: &sha256(&folder.join("model.safetensors"))?,
            license: license.as_deref(),
            run: run.as_ref(),
        };
        write_atomic(&folder.join(CARD), |file| {
            file.write_all(card.markdown().as_bytes())
        })?;
        if let Some(run) = &run {
            write_atomic(&folder.join(ARGUMENTS), |file| {
                file.write_all(run.public_arguments().as_bytes())
            })?;
        }
        let names = [CARD, "config.json", "model.safetensors"];
        let names = names.into_iter().chain(run.map(|_| ARGUMENTS));
        let upload = |name: &str| Ok(Upload::new(name, &folder.join(name))?);
        names.map(upload).collect()
    }
}

/// The licence of weights, as `--weights` names them, where the catalogue has it.
fn license_of(source: &str) -> Option<String> {
    if source == "builtin" {
        return Some(env!("CARGO_PKG_LICENSE").to_string());
    }
    let named = Published::parse(source).ok()??;
    named.license().map(str::to_string)
}
