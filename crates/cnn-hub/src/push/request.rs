//! What is pushed, and what came of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cnn_core::ArgumentError;

use crate::repo::check_path;
use crate::{Error, Repo};

/// Who may see a repository that a push creates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Its owner and those whom the owner admits.
    #[default]
    Private,
    /// Everybody.
    Public,
}

impl Visibility {
    /// The name that the hub has for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }
}

/// A file of this machine and its place in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    path: String,
    source: PathBuf,
}

impl Upload {
    /// The file `source`, to be at `path` in the repository, with slashes.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `path` could not be stored on every system, or belongs to git.
    pub fn new(path: &str, source: &Path) -> Result<Self, Error> {
        let is_git = |part: &str| part.eq_ignore_ascii_case(".git");
        let mut checked = check_path(path);
        if path.split('/').any(is_git) {
            checked = Err("`.git` belongs to the repository itself");
        }
        checked.map_err(|reason| {
            let found = format!("{path:?} ({reason})");
            ArgumentError::new("path", found, "a path such as `sub/model.safetensors`")
        })?;
        Ok(Self {
            path: path.to_string(),
            source: source.to_owned(),
        })
    }

    /// All files below a directory, at the same places, sorted. Names that begin with a point are
    /// left out but for `.gitattributes` and `.gitignore`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a name is not UTF-8 or [`Upload::new`] refuses it, if a link leads to
    /// a directory, or if there is no file; [`Error::Io`] if the directory cannot be read.
    pub fn folder(directory: &Path) -> Result<Vec<Self>, Error> {
        let mut uploads = Vec::new();
        let mut open = vec![(directory.to_owned(), String::new())];
        while let Some((next, prefix)) = open.pop() {
            let entries = fs::read_dir(&next).map_err(|error| Error::io("read", &next, error))?;
            for entry in entries {
                let entry = entry.map_err(|error| Error::io("read", &next, error))?;
                let source = entry.path();
                let Ok(name) = entry.file_name().into_string() else {
                    return Err(unsuited(&source, "a name in UTF-8"));
                };
                if name.starts_with('.') && !matches!(&*name, ".gitattributes" | ".gitignore") {
                    continue;
                }
                let path = format!("{prefix}{name}");
                let kind = entry.file_type();
                let kind = kind.map_err(|error| Error::io("read", &source, error))?;
                if kind.is_dir() {
                    open.push((source, format!("{path}/")));
                } else if source.is_file() {
                    uploads.push(Self::new(&path, &source)?);
                } else {
                    return Err(unsuited(&source, "a file, a link to one, or a directory"));
                }
            }
        }
        if uploads.is_empty() {
            return Err(unsuited(directory, "a directory with files"));
        }
        uploads.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(uploads)
    }

    /// Its place in the repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The file on this machine.
    pub fn source(&self) -> &Path {
        &self.source
    }
}

fn unsuited(path: &Path, expected: &str) -> Error {
    let found = path.to_string_lossy().into_owned();
    ArgumentError::new("directory", found, expected).into()
}

/// A push: files that one commit adds to a repository, or replaces there. All others stay.
///
/// ```no_run
/// use cnn_hub::{Hub, Push, Repo, Silent, Upload, Visibility};
///
/// # fn main() -> Result<(), cnn_hub::Error> {
/// let files = Upload::folder("runs/hub/resnet18".as_ref())?;
/// let push = Push::new(Repo::model("owner/resnet18")?, files, "Add the weights")?
///     .with_visibility(Visibility::Public);
/// let pushed = Hub::from_env()?.push(&push, &mut Silent)?;
/// println!("{} at {}", pushed.commit, pushed.page);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Push {
    repo: Repo,
    files: Vec<Upload>,
    message: String,
    visibility: Visibility,
}

impl Push {
    /// Adds `files` to the branch of `repo` that its revision names, with the commit message
    /// `message`. A repository that is not there is created, private.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the repository's name has no owner, its revision is a commit, there is
    /// no file, two have the same place, or the message is empty.
    pub fn new(repo: Repo, files: Vec<Upload>, message: &str) -> Result<Self, Error> {
        if !repo.id().contains('/') {
            let expected = "`owner/name`, since a push must know whose it is";
            return Err(ArgumentError::new("repository", repo.id(), expected).into());
        }
        if let Some(commit) = repo.commit() {
            return Err(ArgumentError::new("revision", commit, "a branch such as `main`").into());
        }
        if message.trim().is_empty() {
            return Err(ArgumentError::new("message", "none", "a sentence").into());
        }
        if files.is_empty() {
            return Err(ArgumentError::new("files", "none", "at least one").into());
        }
        let mut paths = BTreeSet::new();
        if let Some(twice) = files.iter().find(|file| !paths.insert(file.path())) {
            let found = format!("`{}` twice", twice.path());
            return Err(ArgumentError::new("files", found, "each place once").into());
        }
        Ok(Self {
            repo,
            files,
            message: message.trim().to_string(),
            visibility: Visibility::default(),
        })
    }

    /// Who may see the repository if it is created; by default [`Visibility::Private`]. One that is
    /// there stays as it is.
    pub fn with_visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// The repository with the branch.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The files.
    pub fn files(&self) -> &[Upload] {
        &self.files
    }

    /// The first line of the commit message.
    pub(super) fn summary(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// The lines after the first.
    pub(super) fn description(&self) -> &str {
        let rest = self.message.split_once('\n');
        rest.map_or("", |(_, rest)| rest.trim())
    }

    pub(super) fn visibility(&self) -> Visibility {
        self.visibility
    }
}

/// What came of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pushed {
    /// The commit that the branch is now.
    pub commit: String,
    /// The address of the repository's page.
    pub page: String,
    /// Whether the repository was created.
    pub is_new: bool,
    /// The places of the files that the commit adds or replaces. Where there are none, the
    /// repository had all files already, and `commit` is the one that it was at.
    pub committed: Vec<String>,
    /// The places of the files that the repository's `.gitignore` leaves out.
    pub ignored: Vec<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_folder_has_its_files_without_hidden_ones() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("sub/.git")).unwrap();
        for name in [
            "b",
            "sub/a",
            ".DS_Store",
            "sub/.git/config",
            ".gitattributes",
        ] {
            fs::write(root.join(name), name).unwrap();
        }
        let uploads = Upload::folder(root).unwrap();
        let paths: Vec<&str> = uploads.iter().map(Upload::path).collect();
        assert_eq!(paths, [".gitattributes", "b", "sub/a"]);
        assert_eq!(fs::read_to_string(uploads[2].source()).unwrap(), "sub/a");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.join("b"), root.join("link")).unwrap();
            assert_eq!(Upload::folder(root).unwrap().len(), 4);
            std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
            let error = Upload::folder(root).unwrap_err().to_string();
            assert!(error.contains("loop"), "{error}");
        }
        let error = Upload::folder(&root.join("sub/.git/config")).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let empty = tempfile::tempdir().unwrap();
        assert!(Upload::folder(empty.path()).is_err());
    }

    #[test]
    fn what_cannot_be_pushed_is_named() {
        for path in ["", "../a", "/a", "a\\b", ".git/config", "a/.GIT/hooks/x"] {
            assert!(Upload::new(path, Path::new("a")).is_err(), "{path}");
        }
        let file = || Upload::new("a", Path::new("a")).unwrap();
        let repo = |text: &str| text.parse::<Repo>().unwrap();
        let error = |repo: Repo, files: Vec<Upload>, message: &str| {
            Push::new(repo, files, message).unwrap_err().to_string()
        };
        assert!(error(repo("name"), vec![file()], "m").contains("owner/name"));
        let commit = format!("owner/name@{}", "0a".repeat(20));
        assert!(error(repo(&commit), vec![file()], "m").contains("branch"));
        assert!(error(repo("owner/name"), vec![], "m").contains("files"));
        assert!(error(repo("owner/name"), vec![file(), file()], "m").contains("twice"));
        assert!(error(repo("owner/name"), vec![file()], " \n").contains("message"));
        let push = Push::new(repo("owner/name"), vec![file()], "One\n\nTwo\nthree\n").unwrap();
        assert_eq!((push.summary(), push.description()), ("One", "Two\nthree"));
    }
}
