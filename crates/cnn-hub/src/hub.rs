//! Files of the hub, by repository, revision and path.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use ureq::http::Method;

use crate::cache::{Lock, Store};
use crate::checksum::Checksum;
use crate::config::{HubConfig, Retry};
use crate::files::place;
use crate::net::{
    Answer, Client, Follow, Request, Transfer, Tries, Url, encode_component, encode_path, header,
    transfer,
};
use crate::repo::check_path;
use crate::{Error, Event, Progress, Repo, RepoFile};

/// The list of a repository's files may have this many bytes.
const LARGEST_LIST: u64 = 32 << 20;

/// A file that changes between two requests is asked for this often.
const MOST_CHANGES: u32 = 2;

/// Fetches files once and keeps them.
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

/// The files of a repository at a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepoFiles {
    /// The repository at the commit that its revision is now.
    pub repo: Repo,
    /// Its files by their paths, sorted.
    pub files: Vec<RemoteFile>,
    /// Names that could not be stored on every system, or not safely. They cannot be fetched.
    pub refused: Vec<String>,
}

/// A file in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteFile {
    /// Its path in the repository, with slashes.
    pub path: String,
    /// Its size in bytes, where the hub tells it.
    pub size: Option<u64>,
    /// Its SHA-256, for large files.
    pub sha256: Option<String>,
}

/// What the hub tells of a file before it is downloaded.
struct Description {
    /// The name of its content.
    tag: String,
    commit: String,
    size: Option<u64>,
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

    /// The file on the disk, downloaded unless it is there.
    ///
    /// The hub is asked whether a branch or tag has moved on. Where it cannot be reached or refuses
    /// access, what it had when it was last asked is used, and `progress` is told
    /// ([`Event::FromCache`]). A commit that is there is not asked for.
    ///
    /// Large files are verified by their SHA-256. An interrupted download goes on where it stopped,
    /// and until a file is whole there is nothing under its name.
    ///
    /// # Errors
    ///
    /// [`Error::MissingRepository`], [`Error::MissingRevision`], [`Error::MissingFile`],
    /// [`Error::Gated`], [`Error::Unauthorized`] or [`Error::Forbidden`] as the hub says;
    /// [`Error::Offline`] or [`Error::NoNetwork`] without a network; [`Error::WrongHash`],
    /// [`Error::SizeMismatch`], [`Error::TooLarge`] or [`Error::FileChanged`] if it is not the file
    /// that was announced; [`Error::TooManyTries`], [`Error::Busy`] or [`Error::Status`] if the hub
    /// fails; [`Error::DiskFull`] or [`Error::Io`] from the disk.
    pub fn file(&self, file: &RepoFile, progress: &mut dyn Progress) -> Result<PathBuf, Error> {
        let store = self.store(file.repo());
        let commit = file.repo().commit();
        let pinned = commit.and_then(|commit| store.find(&commit, file.path()));
        if let Some(path) = pinned {
            return Ok(path);
        }
        let cached = self.cached(file);
        let name = file.to_string();
        if self.config.offline {
            return cached.ok_or_else(|| self.offline(&name));
        }
        for change in 1.. {
            let description = match self.describe(file, &name, cached.is_some(), progress) {
                Ok(description) => description,
                Err(error) => return from_cache(cached, error, &name, progress),
            };
            match self.fetch(file, &name, &description, progress) {
                Err(Error::FileChanged { .. }) if change < MOST_CHANGES => (),
                result => return result,
            }
        }
        Err(Error::FileChanged { what: name })
    }

    /// The first of these files that the repository has.
    ///
    /// ```no_run
    /// # use cnn_hub::{Hub, Repo, Silent};
    /// # fn main() -> Result<(), cnn_hub::Error> {
    /// let repo = Repo::model("timm/resnet18.a1_in1k")?;
    /// let names = ["model.safetensors", "pytorch_model.bin"];
    /// let weights = Hub::from_env()?.first_of(&repo, &names, &mut Silent)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Hub::file`], [`Error::MissingFile`] or [`Error::Offline`] only if it is so for
    /// all of them; [`Error::Argument`] if there is none.
    pub fn first_of(
        &self,
        repo: &Repo,
        paths: &[&str],
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let mut first = None;
        for path in paths {
            match self.file(&repo.file(path)?, progress) {
                Err(error @ (Error::MissingFile { .. } | Error::Offline { .. })) => {
                    first.get_or_insert(error);
                }
                result => return result,
            }
        }
        Err(first.unwrap_or_else(|| {
            cnn_core::ArgumentError::new("paths", "none", "at least one").into()
        }))
    }

    /// The file where it is in the cache, without asking anybody.
    pub fn cached(&self, file: &RepoFile) -> Option<PathBuf> {
        let store = self.store(file.repo());
        let revision = file.repo().revision();
        let commit = file.repo().commit().or_else(|| store.commit_of(revision))?;
        store.find(&commit, file.path())
    }

    /// The files that a repository has, and the commit that its revision is now.
    ///
    /// Offline, they are those in the cache.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::file`] that are not about a file.
    pub fn files(&self, repo: &Repo, progress: &mut dyn Progress) -> Result<RepoFiles, Error> {
        if self.config.offline {
            return self.cached_files(repo);
        }
        match self.listed_files(repo, progress) {
            Err(error) if error.leaves_the_cache() => {
                let Ok(files) = self.cached_files(repo) else {
                    return Err(error);
                };
                progress.event(&Event::FromCache {
                    name: &repo.to_string(),
                    cause: &error,
                });
                Ok(files)
            }
            result => result,
        }
    }

    /// The repository at the commit that its revision is now, so that files which are fetched one
    /// after the other belong together.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::files`].
    pub fn pin(&self, repo: &Repo, progress: &mut dyn Progress) -> Result<Repo, Error> {
        match repo.commit() {
            Some(_) => Ok(repo.clone()),
            None => Ok(self.files(repo, progress)?.repo),
        }
    }

    fn store(&self, repo: &Repo) -> Store {
        Store::new(&self.config.hub_cache, repo, self.config.links)
    }

    fn offline(&self, what: &str) -> Error {
        Error::Offline {
            what: what.to_string(),
            cache: self.config.hub_cache.clone(),
        }
    }

    /// An address of the hub below its own.
    fn address(&self, path: &str) -> Result<Url, Error> {
        let endpoint = self.config.endpoint.to_string();
        let text = format!("{}/{path}", endpoint.trim_end_matches('/'));
        Url::parse(&text).map_err(|reason| {
            let found = format!("{text:?} ({reason})");
            cnn_core::ArgumentError::new("HF_ENDPOINT", found, "the address of a hub").into()
        })
    }

    fn resolve_address(&self, file: &RepoFile, revision: &str) -> Result<Url, Error> {
        let page = file.repo().page();
        let revision = encode_component(revision);
        self.address(&format!(
            "{page}/resolve/{revision}/{}",
            encode_path(file.path())
        ))
    }

    /// Asks for the tag, the commit and the size of a file.
    fn describe(
        &self,
        file: &RepoFile,
        name: &str,
        is_cached: bool,
        progress: &mut dyn Progress,
    ) -> Result<Description, Error> {
        let url = self.resolve_address(file, file.repo().revision())?;
        let refuse = |answer: &Answer| refusal(answer, file.repo(), Some(file.path()), name);
        let request = Request {
            what: name,
            url: &url,
            method: Method::HEAD,
            follow: Follow::UntilDescribed,
            from: 0,
            if_range: None,
            is_verified: false,
        };
        let answer = self.answer(&request, is_cached, &refuse, progress)?;
        if answer.was_redirected() {
            tell_rename(file.repo(), &answer, &self.config.endpoint, progress);
        }
        let commit = answer
            .first_header("x-repo-commit")
            .and_then(header::commit);
        let commit = commit
            .ok_or_else(|| answer.nonsense(name, "it does not name a commit, so this is no hub"))?;
        if file.repo().commit().is_some_and(|asked| asked != commit) {
            return Err(answer.nonsense(name, "it is of another commit than the one asked for"));
        }
        let linked = answer.first_header("x-linked-etag");
        let tag = linked
            .or_else(|| answer.header("etag"))
            .and_then(header::blob_name);
        let tag =
            tag.ok_or_else(|| answer.nonsense(name, "it has no tag that a file could be kept by"))?;
        let length = answer
            .header("content-length")
            .filter(|_| answer.location().is_none());
        let size = answer
            .first_header("x-linked-size")
            .or(length)
            .and_then(header::size);
        Ok(Description { tag, commit, size })
    }

    /// The answer to a request that is not about bytes, after as many tries as it needs; only one
    /// where something in the cache could take its place.
    fn answer(
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

    /// Brings a file into its place.
    fn fetch(
        &self,
        file: &RepoFile,
        name: &str,
        description: &Description,
        progress: &mut dyn Progress,
    ) -> Result<PathBuf, Error> {
        let Description { tag, commit, size } = description;
        let store = self.store(file.repo());
        let revision = file.repo().revision();
        if let Some(path) = store.find(commit, file.path()) {
            // The cache of another user may be read-only, and has all that is needed.
            let _ = store.note_commit(revision, commit);
            return Ok(path);
        }
        store.prepare(tag)?;
        let lock = Lock::acquire(&store.lock(tag), name, progress)?;
        let blob = store.blob(tag);
        let is_whole = blob
            .metadata()
            .is_ok_and(|blob| blob.is_file() && size.is_none_or(|size| size == blob.len()));
        if !is_whole {
            let checksum = header::sha256(tag).map(|hash| Checksum::of_sha256(&hash));
            let partial = store.partial(tag);
            let bytes = transfer(
                &self.client,
                &Transfer {
                    name,
                    url: &self.resolve_address(file, commit)?,
                    partial: &partial,
                    note: None,
                    size: *size,
                    tag: Some(tag.as_str()).filter(|_| checksum.is_none()),
                    checksum: checksum.as_ref(),
                    max_bytes: file.max_bytes().unwrap_or(self.config.max_bytes),
                    refuse: &|answer| refusal(answer, file.repo(), Some(file.path()), name),
                },
                progress,
            )?;
            place(&partial, &blob)?;
            progress.event(&Event::Finished { name, bytes });
        }
        let path = store.link(tag, commit, file.path())?;
        store.note_commit(revision, commit)?;
        drop(lock);
        Ok(path)
    }

    fn listed_files(&self, repo: &Repo, progress: &mut dyn Progress) -> Result<RepoFiles, Error> {
        let revision = encode_component(repo.revision());
        let kind = repo.kind().plural();
        let url = self.address(&format!(
            "api/{kind}/{}/revision/{revision}?blobs=true",
            repo.id()
        ))?;
        let name = repo.to_string();
        let request = Request {
            what: &name,
            url: &url,
            method: Method::GET,
            follow: Follow::All,
            from: 0,
            if_range: None,
            is_verified: false,
        };
        let refuse = |answer: &Answer| refusal(answer, repo, None, &name);
        let mut tries = Tries::new(&self.config.retry, &name);
        let (host, body) = loop {
            let answer = self.answer(&request, false, &refuse, progress)?;
            tries.reached();
            let host = answer.url.host_and_port();
            match answer.read(&name, LARGEST_LIST) {
                Ok(body) => break (host, body),
                Err(error) => tries.failed(error, None, progress)?,
            }
        };
        read_list(&body, repo).map_err(|reason| Error::BadAnswer {
            host,
            what: name.clone(),
            reason,
        })
    }

    fn cached_files(&self, repo: &Repo) -> Result<RepoFiles, Error> {
        let store = self.store(repo);
        let commit = repo.commit().or_else(|| store.commit_of(repo.revision()));
        let commit = commit.ok_or_else(|| self.offline(&repo.to_string()))?;
        let snapshot = store.snapshot(&commit);
        let files = store.files(&commit).into_iter().map(|path| RemoteFile {
            size: snapshot
                .join(&path)
                .metadata()
                .ok()
                .map(|metadata| metadata.len()),
            path,
            sha256: None,
        });
        let files: Vec<RemoteFile> = files.collect();
        if files.is_empty() {
            return Err(self.offline(&repo.to_string()));
        }
        Ok(RepoFiles {
            repo: repo.clone().at(&commit)?,
            files,
            refused: Vec::new(),
        })
    }
}

fn from_cache(
    cached: Option<PathBuf>,
    error: Error,
    name: &str,
    progress: &mut dyn Progress,
) -> Result<PathBuf, Error> {
    let Some(path) = cached.filter(|_| error.leaves_the_cache()) else {
        return Err(error);
    };
    progress.event(&Event::FromCache {
        name,
        cause: &error,
    });
    Ok(path)
}

/// Tells where the hub redirected to another repository of its own.
fn tell_rename(repo: &Repo, answer: &Answer, endpoint: &Url, progress: &mut dyn Progress) {
    if !answer.url.same_origin(endpoint) {
        return;
    }
    let path = answer.url.path();
    let path = path
        .strip_prefix(endpoint.path().trim_end_matches('/'))
        .unwrap_or(path);
    let Some((page, _)) = path.trim_start_matches('/').split_once("/resolve/") else {
        return;
    };
    let Ok(renamed) = page.parse::<Repo>() else {
        return;
    };
    if renamed.page() != repo.page() {
        progress.event(&Event::Renamed {
            from: repo.id(),
            to: renamed.id(),
        });
    }
}

/// What the hub means by a status and the code that it adds.
fn refusal(answer: &Answer, repo: &Repo, path: Option<&str>, name: &str) -> Error {
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

#[derive(Deserialize)]
struct List {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

/// The hub's answer about a repository; the reason where it makes no sense.
fn read_list(body: &[u8], repo: &Repo) -> Result<RepoFiles, String> {
    let list: List = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let commit = header::commit(&list.sha).ok_or("its commit is none")?;
    let mut files = Vec::new();
    let mut refused = Vec::new();
    for sibling in list.siblings {
        if check_path(&sibling.rfilename).is_err() {
            refused.push(sibling.rfilename);
            continue;
        }
        let sha256 = sibling.lfs.and_then(|lfs| lfs.sha256);
        files.push(RemoteFile {
            path: sibling.rfilename,
            size: sibling.size,
            sha256: sha256.filter(|hash| header::sha256(hash).is_some()),
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(RepoFiles {
        repo: repo
            .clone()
            .at(&commit)
            .map_err(|error| error.to_string())?,
        files,
        refused,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const LIST: &str = r#"{"id": "a/b", "sha": "5c5a9e6b2c1de7aa2bb1ea9a1a2b3c4d5e6f7089", "siblings": [
        {"rfilename": "model.safetensors", "size": 46807446, "lfs": {"sha256": "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", "size": 46807446, "pointerSize": 133}},
        {"rfilename": "../../.bashrc"}, {"rfilename": "config.json", "size": 583}]}"#;

    #[test]
    fn a_list_has_sizes_hashes_and_no_name_that_leads_elsewhere() {
        let repo = Repo::model("a/b").unwrap();
        let list = read_list(LIST.as_bytes(), &repo).unwrap();
        assert_eq!(
            list.repo.revision(),
            "5c5a9e6b2c1de7aa2bb1ea9a1a2b3c4d5e6f7089"
        );
        let paths: Vec<&str> = list.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["config.json", "model.safetensors"]);
        assert_eq!(list.files[1].size, Some(46_807_446));
        assert_eq!(list.files[1].sha256, Some("0a".repeat(32)));
        assert_eq!(list.refused, ["../../.bashrc"]);
    }

    #[test]
    fn a_hundred_thousand_mutations_of_a_list_do_no_harm() {
        let repo = Repo::model("a/b").unwrap();
        let mut rng = cnn_core::Key::new(14).stream("list").rng();
        let mut accepted = 0;
        for _ in 0..100_000 {
            let mut bytes = LIST.as_bytes().to_vec();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes[at] = rng.below(256) as u8,
                    1 => bytes.insert(at, b"{}[]\",:0\\"[rng.below(9) as usize]),
                    _ => drop(bytes.remove(at)),
                }
            }
            if let Ok(list) = read_list(&bytes, &repo) {
                accepted += 1;
                for file in list.files {
                    let mut parts = file.path.split('/');
                    assert!(
                        parts.all(|part| !["", ".", ".."].contains(&part)),
                        "{}",
                        file.path
                    );
                }
                assert_eq!(list.repo.revision().len(), 40);
            }
        }
        assert!(accepted > 1000, "{accepted}");
    }
}
