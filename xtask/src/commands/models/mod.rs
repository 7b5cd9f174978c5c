//! `cargo xtask models`: what can be built by name.

mod entry;
mod layers;
mod limits;
mod table;

use anyhow::{Result, anyhow};
use clap::Args;
use cnn_core::{begins_a_word, did_you_mean};
use cnn_models::{Kind, ModelSpec};

use self::layers::LayerTable;
use self::limits::{Limits, Listed};
use crate::args::{Size, Unusable};
use crate::next_steps::{self, NextStep};
use crate::{hub, output};

/// List the registered models: parameters, multiply-adds, accuracy and where weights are published;
/// of one model, its layers one by one and all that is known
#[derive(Debug, Args)]
pub(crate) struct Models {
    /// A model's name, to see all of it, or what a word of a name or family begins with: `resnet`,
    /// `cifar`, `v2`, `18`
    filter: Option<String>,

    #[command(flatten)]
    limits: Limits,

    /// Height and width of the images for which a model's layers are told; default the model's own
    #[arg(long, value_name = "HxW")]
    size: Option<Size>,

    /// Print one JSON list on standard output
    #[arg(long)]
    json: bool,
}

impl Models {
    pub(crate) fn run(&self) -> Result<()> {
        let listed = self.limits.apply(self.wanted()?)?;
        let layers = match (listed.as_slice(), self.filter.is_some()) {
            ([one], true) => Some(LayerTable::of(one.spec, self.size)?),
            _ => {
                self.refuse_size(&listed)?;
                None
            }
        };
        if self.json {
            let entries = listed.iter().map(|one| entry::json(one, layers.as_ref()));
            return output::json(&entries.collect::<Vec<_>>());
        }
        match (listed.as_slice(), &layers) {
            ([one], Some(layers)) => {
                layers.print()?;
                println!();
                entry::print(one);
            }
            (listed, _) => table::print(listed)?,
        }
        next_steps::print(&next_steps(&listed));
        Ok(())
    }

    /// A size says something of the layers of one model.
    fn refuse_size(&self, listed: &[Listed]) -> Result<()> {
        if self.size.is_none() {
            return Ok(());
        }
        let found = listed.len();
        Err(
            anyhow!("--size tells the layers of one model, but {found} are meant; name one")
                .context(Unusable),
        )
    }

    /// All models, the one of exactly this name, those with a word that begins so, or else those in
    /// whose name it occurs.
    fn wanted(&self) -> Result<Vec<&'static ModelSpec>> {
        let Some(filter) = self.filter.as_deref() else {
            return Ok(cnn_models::models().collect());
        };
        let choose = |wanted: &dyn Fn(&ModelSpec) -> bool| {
            cnn_models::models().filter(|spec| wanted(spec)).collect()
        };
        // The name of weights names their model, too.
        let has_weights = |spec: &ModelSpec| hub::names_of(spec).iter().any(|name| name == filter);
        let named: Vec<_> = choose(&|spec| spec.name == filter || has_weights(spec));
        if !named.is_empty() {
            return Ok(named);
        }
        let beginning: Vec<_> =
            choose(&|spec| begins_a_word(filter, spec.name) || begins_a_word(filter, spec.family));
        if !beginning.is_empty() {
            return Ok(beginning);
        }
        let containing: Vec<_> = choose(&|spec| spec.name.contains(&filter.to_lowercase()));
        if containing.is_empty() {
            let nearest = did_you_mean(
                filter,
                cnn_models::models().flat_map(|spec| [spec.name, spec.family]),
            );
            let all = format!("`{} models` lists all", output::program());
            return Err(
                anyhow!("no model is called like `{filter}`{nearest}; {all}").context(Unusable),
            );
        }
        eprintln!("note: no word of a name begins with `{filter}`; these have it elsewhere");
        Ok(containing)
    }
}

fn next_steps(listed: &[Listed]) -> Vec<NextStep> {
    let [Listed { spec, weights }] = listed else {
        let published = listed.iter().find(|one| !one.weights.is_empty());
        let see = |one: &Listed| NextStep::new("see all of it", &["models", one.spec.name]);
        return published.map(see).into_iter().collect();
    };
    let of = ["--model", spec.name];
    // No command trains or times detectors yet.
    if spec.kind() == Kind::Detection {
        let predict = ["predict", "PHOTOS", "--weights", "FOLDER", of[0], of[1]];
        return vec![NextStep::new(
            "find objects with weights of its own",
            &predict,
        )];
    }
    let named = weights.first().map(|source| hub::name_of(spec, source));
    let builtin = hub::names_of(spec).into_iter().next();
    let use_it = match named.or(builtin) {
        None => NextStep::new("train it", &[&["train"][..], &of].concat()),
        Some(name) => {
            let predict = ["predict", "PHOTOS", "--weights", &name];
            NextStep::new("use its weights, which are downloaded once", &predict)
        }
    };
    vec![
        NextStep::new("measure its speed here", &[&["bench"][..], &of].concat()),
        use_it,
    ]
}
