//! Files of the hub, by repository, revision and path.

use std::path::PathBuf;

use ureq::http::Method;

use crate::cache::{Lock, Store};
use crate::checksum::Checksum;
use crate::files::place;
use crate::hub::refusal;
use crate::net::{
    Answer, Follow, Request, Transfer, Url, encode_component, encode_path, header, transfer,
};
use crate::{Error, Event, Hub, Progress, Repo, RepoFile};

/// A file that changes between two requests is asked for this often.
const MOST_CHANGES: u32 = 2;

/// What the hub tells of a file before it is downloaded.
struct Description {
    /// The name of its content.
    tag: String,
    commit: String,
    size: Option<u64>,
}

impl Hub {
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
        let pinned = commit.and_then(|commit| Some((store.find(&commit, file.path())?, commit)));
        if let Some((path, commit)) = pinned {
            // The cache of another user may be read-only, and has all that is needed.
            let _ = note_names(&store, file.repo(), &commit);
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
            follow: Follow::UntilDescribed,
            ..Request::new(name, Method::HEAD, &url)
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
        if let Some(path) = store.find(commit, file.path()) {
            // As for a commit above.
            let _ = note_names(&store, file.repo(), commit);
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
        note_names(&store, file.repo(), commit)?;
        drop(lock);
        Ok(path)
    }
}

/// Notes which commit the names of a repository mean, now that a file of it is there.
fn note_names(store: &Store, repo: &Repo, commit: &str) -> Result<(), Error> {
    for name in repo.names() {
        store.note_commit(name, commit)?;
    }
    Ok(())
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
