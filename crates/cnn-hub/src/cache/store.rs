//! The cache of the hub's files as `huggingface_hub` has it, so that both find what either has
//! downloaded.
//!
//! `models--owner--name/blobs/` has the contents by their tags, `refs/` the commit of each branch,
//! and `snapshots/COMMIT/` links to the contents by the names that the files have in that commit.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cnn_core::write_atomic;

use crate::files::{create_directory, io_of, read_small};
use crate::net::header;
use crate::{Error, Repo};

/// The directory of one repository in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    cache: PathBuf,
    folder: String,
    links: bool,
}

impl Store {
    pub(crate) fn new(cache: &Path, repo: &Repo, links: bool) -> Self {
        let parts = [repo.kind().plural()]
            .into_iter()
            .chain(repo.id().split('/'));
        Self {
            cache: cache.to_owned(),
            folder: parts.collect::<Vec<_>>().join("--"),
            links,
        }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }

    pub(crate) fn blob(&self, tag: &str) -> PathBuf {
        self.directory().join("blobs").join(tag)
    }

    /// Where the bytes of a blob are collected.
    pub(crate) fn partial(&self, tag: &str) -> PathBuf {
        self.directory()
            .join("blobs")
            .join(format!("{tag}.incomplete"))
    }

    /// The lock that processes take which download a blob, those of Python, too.
    pub(crate) fn lock(&self, tag: &str) -> PathBuf {
        self.cache
            .join(".locks")
            .join(&self.folder)
            .join(format!("{tag}.lock"))
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.directory().join("snapshots").join(commit)
    }

    /// The file of a commit, where it is there.
    pub(crate) fn find(&self, commit: &str, path: &str) -> Option<PathBuf> {
        let file = self.snapshot(commit).join(path);
        file.is_file().then_some(file)
    }

    /// The commit that a branch or tag had when it was last asked for.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        let text = read_small(&self.directory().join("refs").join(revision)).ok()?;
        header::commit(&text)
    }

    /// Notes the commit of a branch or tag.
    pub(crate) fn note_commit(&self, revision: &str, commit: &str) -> Result<(), Error> {
        if revision == commit || self.commit_of(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.directory().join("refs").join(revision);
        create_directory(path.parent().unwrap_or(&path))?;
        let written = write_atomic(&path, |file| file.write_all(commit.as_bytes()));
        written.map_err(|error| io_of(error, &path))
    }

    /// Makes the directories that a download of this file needs, and marks the cache as one for
    /// backups to leave out.
    pub(crate) fn prepare(&self, tag: &str) -> Result<(), Error> {
        for path in [self.blob(tag), self.lock(tag)] {
            create_directory(path.parent().unwrap_or(&path))?;
        }
        let mark = self.cache.join("CACHEDIR.TAG");
        if !mark.exists() {
            let text = "Signature: 8a477f597d28d172789f06886806bc55\n\
                        # This file is a cache directory tag created by cnn-hub.\n\
                        # For information about cache directory tags, see https://bford.info/cachedir/\n";
            // Without it the cache works as well.
            let _ = write_atomic(&mark, |file| file.write_all(text.as_bytes()));
        }
        Ok(())
    }

    /// Puts a blob into the snapshot of a commit under its name there, which it may have already.
    pub(crate) fn link(&self, tag: &str, commit: &str, path: &str) -> Result<PathBuf, Error> {
        let place = self.snapshot(commit).join(path);
        if place.is_file() {
            return Ok(place);
        }
        let directory = place.parent().unwrap_or(&place);
        create_directory(directory)?;
        // A link to a blob that is gone, or a directory that nobody put there.
        if fs::symlink_metadata(&place).is_ok_and(|metadata| !metadata.is_dir()) {
            fs::remove_file(&place).map_err(|error| Error::io("remove", &place, error))?;
        }
        let blob = self.blob(tag);
        let ups = "../".repeat(path.split('/').count() + 1);
        let target = PathBuf::from(format!("{ups}blobs/{tag}"));
        let linked = if self.links {
            symlink(&target, &place).or_else(|_| fs::hard_link(&blob, &place))
        } else {
            fs::hard_link(&blob, &place)
        };
        match linked {
            Ok(()) => Ok(place),
            Err(_) if place.is_file() => Ok(place),
            Err(_) => copy(&blob, &place).map(|()| place),
        }
    }

    /// The files of a commit, relative to its snapshot.
    pub(crate) fn files(&self, commit: &str) -> Vec<String> {
        let root = self.snapshot(commit);
        let mut files = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                let is_link =
                    fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
                if path.is_dir() && !is_link {
                    directories.push(path);
                } else if let Some(name) = path.strip_prefix(&root).ok().and_then(Path::to_str)
                    && path.is_file()
                {
                    files.push(name.replace('\\', "/"));
                }
            }
        }
        files.sort();
        files
    }
}

#[cfg(unix)]
fn symlink(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(windows)]
fn symlink(target: &Path, place: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, place)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _place: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let mut source = File::open(from).map_err(|error| Error::io("open", from, error))?;
    let written = write_atomic(to, |file| io::copy(&mut source, file).map(|_| ()));
    written.map_err(|error| io_of(error, to))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const COMMIT: &str = "5c5a9e6b2c1de7aa2bb1ea9a1a2b3c4d5e6f7089";

    fn store(cache: &Path, links: bool) -> Store {
        let repo = Repo::model("owner/name").unwrap();
        let store = Store::new(cache, &repo, links);
        store.prepare("tag").unwrap();
        fs::write(store.blob("tag"), "content").unwrap();
        store
    }

    #[test]
    fn files_are_links_to_blobs_where_links_are_allowed() {
        let cache = tempfile::tempdir().unwrap();
        let store = store(cache.path(), true);
        for path in ["model.bin", "a/b/model.bin"] {
            assert_eq!(store.find(COMMIT, path), None);
            let file = store.link("tag", COMMIT, path).unwrap();
            assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(&file).unwrap(), "content");
            assert_eq!(store.link("tag", COMMIT, path).unwrap(), file);
            assert_eq!(store.find(COMMIT, path), Some(file));
        }
        assert_eq!(store.files(COMMIT), ["a/b/model.bin", "model.bin"]);
        let moved = tempfile::tempdir().unwrap();
        let to = moved.path().join("cache");
        fs::rename(cache.path().join("models--owner--name"), &to).unwrap();
        let file = to.join("snapshots").join(COMMIT).join("a/b/model.bin");
        assert_eq!(fs::read_to_string(file).unwrap(), "content");
    }

    #[test]
    fn files_stand_alone_where_links_are_not_allowed() {
        let cache = tempfile::tempdir().unwrap();
        let store = store(cache.path(), false);
        let file = store.link("tag", COMMIT, "a/model.bin").unwrap();
        assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());
        fs::remove_file(store.blob("tag")).unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "content");
    }

    #[test]
    fn a_link_to_nothing_is_replaced() {
        let cache = tempfile::tempdir().unwrap();
        let store = store(cache.path(), true);
        let place = store.snapshot(COMMIT).join("x");
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(Path::new("../../blobs/gone"), &place).unwrap();
        assert_eq!(store.find(COMMIT, "x"), None);
        assert_eq!(
            fs::read_to_string(store.link("tag", COMMIT, "x").unwrap()).unwrap(),
            "content"
        );
    }

    #[test]
    fn only_commits_are_read_from_refs() {
        let cache = tempfile::tempdir().unwrap();
        let store = store(cache.path(), true);
        assert_eq!(store.commit_of("main"), None);
        store.note_commit("refs/pr/1", COMMIT).unwrap();
        assert_eq!(store.commit_of("refs/pr/1").as_deref(), Some(COMMIT));
        let path = store.directory().join("refs/main");
        fs::write(&path, "../../../../etc").unwrap();
        assert_eq!(store.commit_of("main"), None);
        store.note_commit("main", COMMIT).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), COMMIT);
    }
}
