//! The hub: whom it asks, and what its refusals mean.

use std::sync::Arc;

use crate::cache::Store;
use crate::config::{HubConfig, Retry};
use crate::net::{Answer, Client, Content, Request, Tries, Url};
use crate::{Error, Progress, Repo};

/// Fetches files once and keeps them, and uploads others.
///
/// A `Hub` can be shared between threads. Threads and processes that ask for the same file at the
/// same time download it once.
///
/// ```
/// use cnn_hub::{Hub, HubConfig, Repo, Silent};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// // A cache as `huggingface_hub` leaves it behind.
/// let commit = "5c5a9e6b2c1de7aa2bb1ea9a1a2b3c4d5e6f7089";
/// let folder = directory.join("hub/models--timm--resnet18.a1_in1k");
/// let snapshot = folder.join("snapshots").join(commit);
/// std::fs::create_dir_all(&snapshot)?;
/// std::fs::create_dir_all(folder.join("refs"))?;
/// std::fs::write(folder.join("refs/main"), commit)?;
/// std::fs::write(snapshot.join("config.json"), "{}")?;
///
/// // Without a network, what is there is found; what is not says what to do.
/// let hub = Hub::new(HubConfig::in_directory(directory).with_offline(true))?;
/// let repo = Repo::model("timm/resnet18.a1_in1k")?;
/// let config = hub.file(&repo.file("config.json")?, &mut Silent)?;
/// assert_eq!(std::fs::read_to_string(config)?, "{}");
/// let error = hub.file(&repo.file("model.safetensors")?, &mut Silent).unwrap_err();
/// assert!(error.to_string().contains("unset HF_HUB_OFFLINE"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Hub {
    pub(crate) client: Client,
    pub(crate) config: Arc<HubConfig>,
}

impl Hub {
    /// A hub as the environment describes it: [`HubConfig::from_env`].
    ///
    /// # Errors
    ///
    /// Those of [`HubConfig::from_env`] and [`Hub::new`].
    pub fn from_env() -> Result<Self, Error> {
        Self::new(HubConfig::from_env()?)
    }

    /// A hub of this configuration. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] or [`Error::Io`] if the file of certificates cannot be used.
    pub fn new(config: HubConfig) -> Result<Self, Error> {
        let config = Arc::new(config);
        Ok(Self {
            client: Client::new(Arc::clone(&config))?,
            config,
        })
    }

    /// Its configuration.
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    pub(crate) fn store(&self, repo: &Repo) -> Store {
        Store::new(&self.config.hub_cache, repo, self.config.links)
    }

    pub(crate) fn offline(&self, what: &str) -> Error {
        Error::Offline {
            what: what.to_string(),
            cache: self.config.hub_cache.clone(),
        }
    }

    /// An address of the hub below its own.
    pub(crate) fn address(&self, path: &str) -> Result<Url, Error> {
        let endpoint = self.config.endpoint.to_string();
        let text = format!("{}/{path}", endpoint.trim_end_matches('/'));
        Url::parse(&text).map_err(|reason| {
            let found = format!("{text:?} ({reason})");
            cnn_core::ArgumentError::new("HF_ENDPOINT", found, "the address of a hub").into()
        })
    }

    /// The answer to a request that is not about bytes, after as many tries as it needs; only one
    /// where something in the cache could take its place.
    pub(crate) fn answer(
        &self,
        request: &Request<'_>,
        is_cached: bool,
        refuse: &dyn Fn(&Answer) -> Error,
        progress: &mut dyn Progress,
    ) -> Result<Answer, Error> {
        let retry = if is_cached {
            Retry {
                failures: 1,
                ..self.config.retry
            }
        } else {
            self.config.retry
        };
        let mut tries = Tries::new(&retry, request.what);
        loop {
            let (error, wait) = match self.client.send(request) {
                Ok(answer) if answer.status == 200 || answer.location().is_some() => {
                    return Ok(answer);
                }
                Ok(answer) => {
                    tries.reached();
                    (refuse(&answer), tries.asked_wait(&answer)?)
                }
                Err(error) => (error, None),
            };
            tries.failed(error, wait, progress)?;
        }
    }

    /// The answer to a request with content that says that it was taken, after as many tries as it
    /// needs.
    pub(crate) fn upload(
        &self,
        request: &Request<'_>,
        content: &mut Content<'_>,
        refuse: &dyn Fn(&Answer) -> Error,
        progress: &mut dyn Progress,
    ) -> Result<Answer, Error> {
        let mut tries = Tries::new(&self.config.retry, request.what);
        loop {
            let (error, wait) = match self.client.upload(request, content, progress) {
                Ok(answer) if answer.is_success() => return Ok(answer),
                Ok(mut answer) => {
                    tries.reached();
                    answer.read_message();
                    (refuse(&answer), tries.asked_wait(&answer)?)
                }
                Err(error) => (error, None),
            };
            tries.failed(error, wait, progress)?;
        }
    }
}

/// What the hub means by a status and the code that it adds.
pub(crate) fn refusal(answer: &Answer, repo: &Repo, path: Option<&str>, name: &str) -> Error {
    let with_token = answer.with_token;
    let id = repo.id().to_string();
    let missing_repository = |repo| Error::MissingRepository {
        repo,
        host: answer.url.host_and_port(),
        with_token,
    };
    match (answer.header("x-error-code"), path) {
        (Some("GatedRepo"), _) => Error::Gated {
            page: format!(
                "{}://{}/{}",
                answer.url.scheme(),
                answer.url.host_and_port(),
                repo.page()
            ),
            repo: id,
            with_token,
        },
        (Some("RepoNotFound"), _) => missing_repository(id),
        (Some("RevisionNotFound"), _) => Error::MissingRevision {
            repo: id,
            revision: repo.revision().to_string(),
        },
        (Some("EntryNotFound"), Some(path)) => Error::MissingFile {
            repo: id,
            revision: repo.revision().to_string(),
            path: path.to_string(),
        },
        (_, None) if answer.status == 404 => missing_repository(id),
        _ => answer.refusal(name),
    }
}
