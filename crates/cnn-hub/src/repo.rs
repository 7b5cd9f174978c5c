//! Names of the hub: repositories, their revisions, the files in them.

use std::fmt;
use std::str::FromStr;

use cnn_core::ArgumentError;

use crate::Error;
use crate::net::header;

/// The longest name of an owner or a repository.
const LONGEST_NAME: usize = 96;

/// The longest path of a file, and the longest revision.
const LONGEST_PATH: usize = 1024;

/// The revision where none is named.
const MAIN: &str = "main";

/// Names that some systems give to devices, whatever follows the first point.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// What a repository of the hub holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RepoKind {
    /// Weights.
    #[default]
    Model,
    /// Data.
    Dataset,
}

impl RepoKind {
    /// The plural, as caches and addresses of the hub have it.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    /// The singular, as the hub's messages have it.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "dataset",
        }
    }
}

/// A repository of the hub at a revision.
///
/// As text, it is `owner/name`, `owner/name@revision` or `datasets/owner/name@revision`, each with
/// `hf:` or without.
///
/// ```
/// use cnn_hub::Repo;
///
/// # fn main() -> Result<(), cnn_hub::Error> {
/// let repo: Repo = "hf:timm/resnet18.a1_in1k@v1".parse()?;
/// assert_eq!((repo.id(), repo.revision()), ("timm/resnet18.a1_in1k", "v1"));
/// assert_eq!(Repo::dataset("ylecun/mnist")?.to_string(), "hf:datasets/ylecun/mnist");
/// assert!(Repo::model("../etc").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repo {
    kind: RepoKind,
    id: String,
    revision: String,
    /// Whose commit the revision was, where the hub said so.
    branch: Option<String>,
}

impl Repo {
    /// A repository of weights, `owner/name`, at `main`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the hub could have no such name.
    pub fn model(id: &str) -> Result<Self, Error> {
        Self::new(RepoKind::Model, id)
    }

    /// A repository of data, `owner/name`, at `main`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the hub could have no such name.
    pub fn dataset(id: &str) -> Result<Self, Error> {
        Self::new(RepoKind::Dataset, id)
    }

    fn new(kind: RepoKind, id: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = id.split('/').collect();
        let is_letter =
            |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        let is_name = |part: &&str| {
            (1..=LONGEST_NAME).contains(&part.len())
                && part.chars().all(is_letter)
                && !part.starts_with(['-', '.'])
                && !part.ends_with(['-', '.'])
        };
        let accepted = parts.len() <= 2
            && parts.iter().all(is_name)
            && !id.contains("--")
            && !id.contains("..")
            && !id.ends_with(".git");
        if !accepted {
            let expected =
                "`owner/name` of letters, digits and `-_.`, such as `timm/resnet18.a1_in1k`";
            return Err(ArgumentError::new("repository", shown(id), expected).into());
        }
        Ok(Self {
            kind,
            id: id.to_string(),
            revision: MAIN.to_string(),
            branch: None,
        })
    }

    /// The same repository at another branch, tag or commit.
    ///
    /// A commit of 40 digits is never asked for again once its files are there.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if git could have no such name.
    pub fn at(mut self, revision: &str) -> Result<Self, Error> {
        if let Err(reason) = check_path(revision) {
            let found = format!("{} ({reason})", shown(revision));
            let expected = "a branch, a tag or a commit, such as `main`";
            return Err(ArgumentError::new("revision", found, expected).into());
        }
        self.revision = revision.to_string();
        self.branch = None;
        Ok(self)
    }

    /// The same repository at the commit that its revision is now. Files that are fetched at it are
    /// found by the revision's name afterwards.
    pub(crate) fn pinned(self, commit: &str) -> Result<Self, Error> {
        let branch = self.revision.clone();
        Ok(Self {
            branch: Some(branch),
            ..self.at(commit)?
        })
    }

    /// The names under which the cache keeps a commit of this repository: the revision, and the
    /// branch whose commit it was.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let branch = self.branch.as_deref();
        std::iter::once(self.revision.as_str()).chain(branch)
    }

    /// A file of this repository, by its path with slashes.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the path is absolute, leads out of the repository, or cannot be a
    /// path on every system.
    pub fn file(&self, path: &str) -> Result<RepoFile, Error> {
        if let Err(reason) = check_path(path) {
            let found = format!("{} ({reason})", shown(path));
            let expected = "a path within the repository, such as `model.safetensors`";
            return Err(ArgumentError::new("path", found, expected).into());
        }
        Ok(RepoFile {
            repo: self.clone(),
            path: path.to_string(),
            max_bytes: None,
        })
    }

    /// Weights or data.
    pub fn kind(&self) -> RepoKind {
        self.kind
    }

    /// `owner/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The branch, tag or commit.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The commit, where the revision is one.
    pub fn commit(&self) -> Option<String> {
        header::commit(&self.revision)
    }

    /// The name with its kind, as the hub's addresses have it.
    pub(crate) fn page(&self) -> String {
        match self.kind {
            RepoKind::Model => self.id.clone(),
            RepoKind::Dataset => format!("datasets/{}", self.id),
        }
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "hf:{}", self.page())?;
        match self.revision.as_str() {
            MAIN => Ok(()),
            revision => write!(formatter, "@{revision}"),
        }
    }
}

impl FromStr for Repo {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix("hf:").unwrap_or(text);
        let (id, revision) = match text.split_once('@') {
            Some((id, revision)) => (id, Some(revision)),
            None => (text, None),
        };
        let repo = match id.strip_prefix("datasets/") {
            Some(id) => Self::dataset(id)?,
            None => Self::model(id.strip_prefix("models/").unwrap_or(id))?,
        };
        match revision {
            Some(revision) => repo.at(revision),
            None => Ok(repo),
        }
    }
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepoFile {
    repo: Repo,
    path: String,
    max_bytes: Option<u64>,
}

impl RepoFile {
    /// Refuses the file if it has more bytes than this; by default what
    /// [`HubConfig::with_max_bytes`](crate::HubConfig::with_max_bytes) says.
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The repository.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The path within it, with slashes.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn max_bytes(&self) -> Option<u64> {
        self.max_bytes
    }
}

impl fmt::Display for RepoFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.repo.page(), self.path)?;
        match self.repo.revision.as_str() {
            MAIN => Ok(()),
            revision => write!(formatter, "@{revision}"),
        }
    }
}

/// Whether slashes cut this into components that name a place below any directory, on any system;
/// what is wrong where they do not.
pub(crate) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("it is empty");
    }
    if path.len() > LONGEST_PATH {
        return Err("it is longer than 1024 bytes");
    }
    path.split('/').try_for_each(check_component)
}

/// Whether this names a file in whatever directory it is put, on any system.
pub(crate) fn check_component(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it begins or ends with a slash, or has two in a row");
    }
    if name.len() > 255 {
        return Err("a component is longer than 255 bytes");
    }
    if name.chars().all(|letter| letter == '.') {
        return Err("it leads out of its directory");
    }
    if name.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    if name.contains(['\\', ':', '<', '>', '"', '|', '?', '*', '/']) {
        return Err("it has a character that not every system allows in names");
    }
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_ascii_lowercase();
    let is_port = ["com", "lpt"].iter().any(|port| {
        let number = stem.strip_prefix(port);
        number.is_some_and(|number| {
            number.len() == 1 && number.bytes().all(|digit| digit.is_ascii_digit())
        })
    });
    if is_port || DEVICES.contains(&stem.as_str()) {
        return Err("it is the name of a device on some systems");
    }
    Ok(())
}

/// A name that may be anything, for a message: quoted, and cut where it is long.
fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for (text, kind, id, revision) in [
            (
                "hf:timm/resnet18.a1_in1k",
                RepoKind::Model,
                "timm/resnet18.a1_in1k",
                "main",
            ),
            ("hf:gpt2@v1", RepoKind::Model, "gpt2", "v1"),
            (
                "hf:datasets/ylecun/mnist@refs/convert/parquet",
                RepoKind::Dataset,
                "ylecun/mnist",
                "refs/convert/parquet",
            ),
        ] {
            let repo: Repo = text.parse().unwrap();
            assert_eq!(
                (repo.kind(), repo.id(), repo.revision()),
                (kind, id, revision)
            );
            assert_eq!(repo.to_string(), text);
        }
        assert_eq!(
            "models/a/b".parse::<Repo>().unwrap(),
            Repo::model("a/b").unwrap()
        );
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for id in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "..",
            "a/..",
            "../a",
            "a--b/c",
            "a b",
            "a\\b",
            "a/b.git",
            "-a/b",
            "a/b.",
            "ä/b",
            "a/b%2f..",
            &"a".repeat(97),
        ] {
            assert!(Repo::model(id).is_err(), "{id}");
        }
        let repo = Repo::model("a/b").unwrap();
        for revision in ["", "..", "a/../b", "/a", "a\\b", "a\0", "a//b", "C:"] {
            assert!(repo.clone().at(revision).is_err(), "{revision:?}");
        }
        for path in [
            "",
            "..",
            "../a",
            "a/../../b",
            "/etc/passwd",
            "C:\\a",
            "a\\b",
            "a/./b",
            "a\n",
            "nul",
            "a/COM1.txt",
            "con.safetensors",
            "...",
            "a//b",
            &"a".repeat(256),
        ] {
            assert!(repo.file(path).is_err(), "{path:?}");
        }
        for path in [
            "model.safetensors",
            "a/b c/ü.txt",
            ".gitattributes",
            "console.txt",
            "com.txt",
            "..a",
        ] {
            repo.file(path).unwrap();
        }
    }
}
