//! `cargo xtask download`: weights and datasets by name, before they are needed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use cnn_hub::DatasetEntry;
use serde_json::json;

use crate::args::Unusable;
use crate::hub::{self, Published};
use crate::next_steps::{self, NextStep};
use crate::output;

/// Download weights and datasets by name, verified and only once; afterwards they are found without
/// a network
#[derive(Debug, Args)]
pub(crate) struct Download {
    #[command(subcommand)]
    what: What,

    /// Print one JSON object on standard output
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Weights, as `--weights` names them: `resnet18.a1_in1k`, `hf:owner/name[@revision]`, an
    /// address
    Weights {
        /// Names
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Datasets, as `--data` names them: `cifar10`
    Dataset {
        /// Names
        #[arg(required = true)]
        names: Vec<String>,

        /// Where their folders are made; default `$CNN_DATA`, else `data`
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// List what is known by name, and what of it is on the disk
    List,
}

impl Download {
    pub(crate) fn run(&self) -> Result<()> {
        match &self.what {
            What::Weights { names } => self.weights(names),
            What::Dataset { names, out } => {
                let directory = out.clone().unwrap_or_else(hub::data_directory);
                self.datasets(names, &directory)
            }
            What::List => self.list(),
        }
    }

    fn weights(&self, names: &[String]) -> Result<()> {
        // A misspelt name is told before the first download.
        let mut published = Vec::new();
        for name in names {
            let place = Published::parse(name)?.with_context(|| {
                format!("{name} is a path, expected the name or the address of weights")
            });
            published.push((name, place.context(Unusable)?));
        }
        let mut downloaded = Vec::new();
        for (name, place) in published {
            downloaded.push((name, place.fetch(name, None)?));
        }
        if self.json {
            let entries = downloaded.iter().map(
                |(name, weights)| json!({"asked": name, "name": weights.name, "path": weights.path}),
            );
            return output::json(&json!({"weights": entries.collect::<Vec<_>>()}));
        }
        for (name, weights) in &downloaded {
            println!("{name}: {}", weights.path.display());
        }
        let steps = downloaded.first().map(|(name, _)| {
            let arguments = ["finetune", "--weights", name, "--data", "FOLDER"];
            NextStep::new("fine-tune it on images of yours", &arguments)
        });
        next_steps::print(&steps.into_iter().collect::<Vec<_>>());
        Ok(())
    }

    fn datasets(&self, names: &[String], directory: &Path) -> Result<()> {
        let entries = names.iter().map(|name| DatasetEntry::find(name));
        let entries: Vec<&DatasetEntry> = entries.collect::<Result<_, _>>().context(Unusable)?;
        let mut installed = Vec::new();
        for entry in entries {
            installed.push((entry, hub::install(entry, directory)?));
        }
        if self.json {
            let entries = installed
                .iter()
                .map(|(entry, path)| json!({"name": entry.name, "path": path}));
            return output::json(&json!({"datasets": entries.collect::<Vec<_>>()}));
        }
        for (entry, path) in &installed {
            println!("{}: {}", entry.name, path.display());
        }
        let steps = installed.first().map(|(_, path)| {
            let path = path.display().to_string();
            NextStep::new("see what is in it", &["data", &path])
        });
        next_steps::print(&steps.into_iter().collect::<Vec<_>>());
        Ok(())
    }

    fn list(&self) -> Result<()> {
        let hub = hub::hub()?;
        let mut weights = Vec::new();
        for spec in cnn_models::models() {
            for source in spec.weights() {
                let is_here = Published::of_source(spec, source)?.is_here(&hub);
                weights.push((hub::name_of(spec, source), source, is_here));
            }
        }
        if self.json {
            let weights = weights.iter().map(|(name, source, is_here)| {
                json!({"name": name, "location": source.location, "license": source.license,
                       "on_disk": is_here})
            });
            return output::json(&json!({
                "weights": weights.collect::<Vec<_>>(),
                "datasets": hub::dataset_list(),
            }));
        }
        let columns = [
            ("weights", false),
            ("licence", false),
            ("from", false),
            ("on disk", false),
        ];
        let rows = weights.iter().map(|(name, source, is_here)| {
            vec![
                name.clone(),
                source.license.to_string(),
                source.url(),
                hub::on_disk(*is_here),
            ]
        });
        output::table(&columns, &rows.collect::<Vec<_>>())?;
        println!();
        hub::print_datasets()
    }
}
