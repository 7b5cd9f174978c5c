//! Weights by name: what `--weights` takes besides paths.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use cnn_core::did_you_mean;
use cnn_hub::{Checksum, Error, Hub, Repo, RepoFiles, UrlFile};
use cnn_models::{CheckpointConfig, ModelSpec, WeightSource};

use super::progress::Transfers;
use crate::args::Unusable;
use crate::{builtin, os_text, output};

/// Weights as `--weights` names them, on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    /// What is loaded: a file or a directory.
    pub(crate) path: PathBuf,
    /// What names the same weights for good: a revision of the hub is a commit here.
    pub(crate) name: String,
    /// The model that a bare file is published for, where its name says it.
    pub(crate) spec: Option<ModelSpec>,
}

/// The weights that `--weights` names, downloaded unless they are on the disk. A path that exists
/// wins; `model` is what `--model` says, and `caches` where the built-in weights are unpacked.
pub(crate) fn weights(text: &str, model: Option<&str>, caches: &Path) -> Result<Weights> {
    let local = |path: PathBuf| Weights {
        path,
        name: text.to_string(),
        spec: None,
    };
    let place = os_text::path(text);
    if text == BUILTIN || (text == builtin::NAME && !place.exists()) {
        return Ok(local(builtin::unpack(caches)?));
    }
    if text == "none" || place.exists() {
        return Ok(local(place));
    }
    match Published::parse(text)? {
        Some(published) => {
            published.check_model(text, model)?;
            published.fetch(text, model)
        }
        // Who reads it says that it is not there.
        None => Ok(local(place)),
    }
}

/// The weights that are part of the program.
const BUILTIN: &str = "builtin";

/// How `--weights` names the weights that there are of a model.
pub(crate) fn names_of(spec: &ModelSpec) -> Vec<String> {
    let builtin = (spec.name == builtin::NAME).then(|| BUILTIN.to_string());
    let published = spec.weights().iter().map(|source| name_of(spec, source));
    builtin.into_iter().chain(published).collect()
}

/// How `--weights` names published weights of a model: `resnet18.a1_in1k`.
pub(crate) fn name_of(spec: &ModelSpec, source: &WeightSource) -> String {
    format!("{}.{}", spec.name, source.tag)
}

/// Where weights that are not on the disk are, and for which model, where that is known.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    place: Place,
    spec: Option<&'static ModelSpec>,
}

#[derive(Debug, Clone)]
enum Place {
    Repo(Repo),
    Url(UrlFile),
}

/// A repository's weights, the best first.
const WEIGHT_FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// What says how images are prepared, beside `config.json`, where transformers saved it.
const PREPROCESSOR: &str = "preprocessor_config.json";

/// What the hub's pages begin with.
const PAGES: &str = "https://huggingface.co/";

/// Endings of files of weights, which no tag has.
const ENDINGS: [&str; 7] = [".safetensors", ".pth", ".pt", ".th", ".bin", ".onnx", ".h5"];

impl Published {
    /// Understands `hf:owner/name[@revision]`, addresses, and the names of models with or without a
    /// tag; `None` for what can only be a path.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>> {
        if text.starts_with("hf:") {
            let place = Place::Repo(text.parse().context(Unusable)?);
            return Ok(Some(Self { place, spec: None }));
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Self::of_address(text).map(Some);
        }
        let is_file = ENDINGS.iter().any(|ending| text.ends_with(ending));
        if is_file || text.contains(['/', '\\']) {
            return Ok(None);
        }
        let (name, tag) = match text.split_once('.') {
            Some((name, tag)) => (name, Some(tag)),
            None => (text, None),
        };
        let Ok(spec) = cnn_models::find(name) else {
            let nearest = did_you_mean(name, cnn_models::models().map(|spec| spec.name));
            // What is like no name is a path that leads nowhere.
            return if nearest.is_empty() && tag.is_none() {
                Ok(None)
            } else {
                Err(unknown(text, name, &nearest))
            };
        };
        let source = match tag {
            Some(tag) => spec.weights().iter().find(|source| source.tag == tag),
            None => Some(default_source(spec)?),
        };
        let published = match (source, tag) {
            (Some(source), _) => Self::of_source(spec, source)?,
            // The hub may have weights that the catalogue does not know.
            (None, tag) => Self {
                place: Place::Repo(
                    Repo::model(&format!("timm/{name}.{}", tag.unwrap_or_default()))
                        .context(Unusable)?,
                ),
                spec: Some(spec),
            },
        };
        Ok(Some(published))
    }

    /// Weights of the catalogue.
    pub(crate) fn of_source(spec: &'static ModelSpec, source: &WeightSource) -> Result<Self> {
        let place = if source.location.starts_with("hf:") {
            Place::Repo(source.location.parse()?)
        } else {
            let file = UrlFile::new(source.location)?;
            Place::Url(match source.sha256_prefix {
                Some(prefix) => file.with_checksum(Checksum::sha256_prefix(prefix)?),
                None => file,
            })
        };
        Ok(Self {
            place,
            spec: Some(spec),
        })
    }

    fn of_address(text: &str) -> Result<Self> {
        // The page of a repository stands for it.
        let page = text
            .strip_prefix(PAGES)
            .map(|page| page.trim_end_matches('/'))
            .filter(|page| page.split('/').count() == 2);
        if let Some(page) = page {
            let place = Place::Repo(page.parse().context(Unusable)?);
            return Ok(Self { place, spec: None });
        }
        for spec in cnn_models::models() {
            let known = spec.weights().iter().find(|source| source.location == text);
            if let Some(source) = known {
                return Self::of_source(spec, source);
            }
        }
        let place = Place::Url(UrlFile::new(text).context(Unusable)?);
        Ok(Self { place, spec: None })
    }

    /// The licence, where the catalogue has these weights.
    pub(crate) fn license(&self) -> Option<&'static str> {
        let is_here = |source: &&WeightSource| match &self.place {
            Place::Repo(repo) => source.location.strip_prefix("hf:") == Some(repo.id()),
            Place::Url(file) => source.location == file.to_string(),
        };
        let mut sources = cnn_models::models().flat_map(ModelSpec::weights);
        sources.find(is_here).map(|source| source.license)
    }

    /// Whether it is on the disk.
    pub(crate) fn is_here(&self, hub: &Hub) -> bool {
        match &self.place {
            Place::Repo(repo) => WEIGHT_FILES.iter().any(|name| {
                repo.file(name)
                    .is_ok_and(|file| hub.cached(&file).is_some())
            }),
            Place::Url(file) => hub.cached_url(file).is_ok_and(|path| path.is_some()),
        }
    }

    /// Refuses what could not be loaded once it is downloaded, since nobody says for which model it
    /// is.
    fn check_model(&self, text: &str, model: Option<&str>) -> Result<()> {
        if let Some(model) = model {
            cnn_models::find(model)?;
        } else if self.spec.is_none() && matches!(self.place, Place::Url(_)) {
            let expected = "does not say for which model its file is; name the model by --model";
            return Err(anyhow!("the address {text} {expected}").context(Unusable));
        }
        Ok(())
    }

    /// Brings the weights to the disk. `text` is how they were named, `model` what `--model` says.
    pub(crate) fn fetch(&self, text: &str, model: Option<&str>) -> Result<Weights> {
        let hub = super::hub()?;
        let mut progress = Transfers::downloading();
        let fetched = match &self.place {
            Place::Repo(repo) => self.fetch_repo(&hub, repo, model, &mut progress),
            Place::Url(file) => self.fetch_url(&hub, file, text, &mut progress),
        };
        progress.finish();
        fetched.map_err(|error| self.marked(error, text))
    }

    fn fetch_url(
        &self,
        hub: &Hub,
        file: &UrlFile,
        text: &str,
        progress: &mut Transfers,
    ) -> Result<Weights> {
        Ok(Weights {
            path: hub.url(file, progress)?,
            name: text.to_string(),
            spec: self.spec.copied(),
        })
    }

    /// A repository's directory in the cache, or its file of weights where it has no `config.json`.
    /// The configuration comes first: weights that nothing here can use need not be downloaded.
    fn fetch_repo(
        &self,
        hub: &Hub,
        repo: &Repo,
        model: Option<&str>,
        progress: &mut Transfers,
    ) -> Result<Weights> {
        let list = match repo.commit() {
            // Nobody is asked for a commit whose weights are there.
            Some(_) if self.is_here(hub) => hub.cached_files(repo)?,
            _ => hub.files(repo, progress)?,
        };
        let repo = &list.repo;
        let model = model.or(self.spec.map(|spec| spec.name));
        let model = model.map(cnn_models::find).transpose()?;
        let has_config = has(&list, "config.json");
        if has_config {
            if has(&list, PREPROCESSOR) {
                hub.file(&repo.file(PREPROCESSOR)?, progress)?;
            }
            let config = hub.file(&repo.file("config.json")?, progress)?;
            cnn_models::find(&CheckpointConfig::read(&config)?.architecture)?;
        }
        let weights = WEIGHT_FILES
            .into_iter()
            .find(|name| has(&list, name))
            .with_context(|| {
                let names: Vec<&str> = list.files.iter().map(|file| file.path.as_str()).collect();
                format!(
                    "{repo} has none of the files {}; it has {}",
                    WEIGHT_FILES.join(", "),
                    names.join(", ")
                )
            })?;
        let file = hub.file(&repo.file(weights)?, progress)?;
        let name = repo.to_string();
        match file.parent() {
            Some(directory) if has_config => Ok(Weights {
                path: directory.to_path_buf(),
                name,
                spec: None,
            }),
            _ => Ok(Weights {
                path: file,
                name,
                spec: model.copied(),
            }),
        }
    }

    /// Marks what does not exist as the arguments' fault, and says which weights there are.
    fn marked(&self, error: anyhow::Error, text: &str) -> anyhow::Error {
        let is_missing = error.downcast_ref::<Error>().is_some_and(is_missing);
        if !is_missing {
            return error.context(text.to_string());
        }
        let known = self.spec.map(names_of).unwrap_or_default();
        let error = if known.is_empty() {
            error
        } else {
            anyhow!("{error:#}; published for it are {}", known.join(", "))
        };
        error.context(text.to_string()).context(Unusable)
    }
}

/// Whether a name means nothing, so that another one is needed.
fn is_missing(error: &Error) -> bool {
    match error {
        Error::Mirror { source, .. } => is_missing(source),
        error => matches!(
            error,
            Error::MissingRepository { .. }
                | Error::MissingRevision { .. }
                | Error::MissingFile { .. }
                | Error::NotFound { .. }
                | Error::Argument(_)
        ),
    }
}

fn has(list: &RepoFiles, name: &str) -> bool {
    list.files.iter().any(|file| file.path == name)
}

fn unknown(text: &str, name: &str, nearest: &str) -> anyhow::Error {
    let program = output::program();
    anyhow!(
        "there is no file or directory {text}, and no model is called {name}{nearest}; \
         `{program} models` lists them, and hf:owner/name names a repository of the hub"
    )
    .context(Unusable)
}

/// The weights of a model where no tag is named: the first on the hub, as timm has it, or else the
/// first.
fn default_source(spec: &'static ModelSpec) -> Result<&'static WeightSource> {
    let sources = spec.weights();
    let on_hub = sources
        .iter()
        .find(|source| source.location.starts_with("hf:"));
    on_hub
        .or(sources.first())
        .with_context(|| {
            format!(
                "there is no file or directory {name}, and no weights are published for the model \
                 {name}: `{program} train --model {name}` makes them",
                name = spec.name,
                program = output::program()
            )
        })
        .context(Unusable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn place(text: &str) -> Option<String> {
        let published = Published::parse(text).unwrap()?;
        Some(match published.place {
            Place::Repo(repo) => repo.to_string(),
            Place::Url(file) => file.to_string(),
        })
    }

    #[test]
    fn names_lead_to_repositories_and_addresses() {
        let torchvision = "https://download.pytorch.org/models/resnet18-f37072fd.pth";
        let cases = [
            ("resnet18", Some("hf:timm/resnet18.a1_in1k")),
            ("resnet18.tv_in1k", Some("hf:timm/resnet18.tv_in1k")),
            ("resnet18.IMAGENET1K_V1", Some(torchvision)),
            (torchvision, Some(torchvision)),
            // What the catalogue has no tag for may have been published since.
            ("resnet18.a9_in1k", Some("hf:timm/resnet18.a9_in1k")),
            ("hf:owner/name@v1", Some("hf:owner/name@v1")),
            ("https://huggingface.co/owner/name/", Some("hf:owner/name")),
            ("resnet18.pth", None),
            ("folder/resnet18", None),
        ];
        for (text, expected) in cases {
            assert_eq!(place(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_catalogues_places_can_all_be_asked_for() {
        for spec in cnn_models::models() {
            for source in spec.weights() {
                let published = Published::of_source(spec, source).unwrap();
                let named = Published::parse(&name_of(spec, source)).unwrap().unwrap();
                assert_eq!(format!("{published:?}"), format!("{named:?}"));
                if let (Place::Url(file), Some(prefix)) = (&named.place, source.sha256_prefix) {
                    let expected = Checksum::sha256_prefix(prefix).unwrap();
                    assert_eq!(file.checksum(), Some(&expected));
                }
            }
        }
    }
}
