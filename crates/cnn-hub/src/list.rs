//! The files that a repository of the hub has.

use serde::Deserialize;
use ureq::http::Method;

use crate::hub::refusal;
use crate::net::{Answer, Request, Tries, encode_component, header};
use crate::repo::check_path;
use crate::{Error, Event, Hub, Progress, Repo};

/// The list of a repository's files may have this many bytes.
const LARGEST_LIST: u64 = 32 << 20;

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
    /// What git calls its content, where the hub tells it.
    pub(crate) git_hash: Option<String>,
}

impl Hub {
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

    pub(crate) fn listed_files(
        &self,
        repo: &Repo,
        progress: &mut dyn Progress,
    ) -> Result<RepoFiles, Error> {
        let revision = encode_component(repo.revision());
        let kind = repo.kind().plural();
        let url = self.address(&format!(
            "api/{kind}/{}/revision/{revision}?blobs=true",
            repo.id()
        ))?;
        let name = repo.to_string();
        let request = Request::new(&name, Method::GET, &url);
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

    /// The files of a repository that are in the cache, and their commit, without asking anybody.
    ///
    /// # Errors
    ///
    /// [`Error::Offline`] if there is none.
    pub fn cached_files(&self, repo: &Repo) -> Result<RepoFiles, Error> {
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
            git_hash: None,
        });
        let files: Vec<RemoteFile> = files.collect();
        if files.is_empty() {
            return Err(self.offline(&repo.to_string()));
        }
        Ok(RepoFiles {
            repo: repo.clone().pinned(&commit)?,
            files,
            refused: Vec::new(),
        })
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
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
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
            git_hash: sibling.blob_id,
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(RepoFiles {
        repo: repo
            .clone()
            .pinned(&commit)
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
