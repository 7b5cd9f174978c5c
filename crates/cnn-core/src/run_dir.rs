//! Numbered directories for the output of a run.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::Error;

const MAX_NAME_BYTES: usize = 200;

/// A directory `<root>/<command>/<name>-<n>` that belongs to one run.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = tempfile::tempdir()?;
/// use cnn_core::RunDir;
///
/// let first = RunDir::create(root.path(), "train", "resnet18")?;
/// let second = RunDir::create(root.path(), "train", "resnet18")?;
/// assert!(first.path().ends_with("train/resnet18-1"));
/// assert!(
///     second
///         .join("metrics.csv")
///         .ends_with("train/resnet18-2/metrics.csv")
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Creates a new, empty run directory, and the directories above it where they are missing.
    ///
    /// Its number is one more than the highest there, 1 at first. Creating the directory is what
    /// claims the number, so no two runs share one, also when several processes start at once; gaps
    /// that deleted runs left are not filled.
    ///
    /// `command` and `name` are each one path component that every system accepts: 1 to 200 bytes,
    /// not beginning with a dot, without control characters and `/ \ < > : " | ? *`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] for other names, [`Error::Io`] if a directory cannot be read or
    /// created.
    pub fn create(root: &Path, command: &str, name: &str) -> Result<Self, Error> {
        check_name("command", command)?;
        check_name("run name", name)?;
        let parent = root.join(command);
        fs::create_dir_all(&parent)
            .map_err(|source| Error::io("create directory", &parent, source))?;
        let mut number = highest_number(&parent, name)?;
        loop {
            number += 1;
            let path = parent.join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(source) if source.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::io("create directory", &path, source)),
            }
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something inside the directory.
    pub fn join(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.path.join(inside)
    }
}

impl AsRef<Path> for RunDir {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

fn check_name(role: &'static str, name: &str) -> Result<(), Error> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME_BYTES {
        "it is longer than 200 bytes"
    } else if name.starts_with('.') {
        "it begins with a dot"
    } else if name.contains(|c: char| c.is_control() || r#"/\<>:"|?*"#.contains(c)) {
        r#"it must not contain control characters or any of / \ < > : " | ? *"#
    } else {
        return Ok(());
    };
    Err(Error::InvalidName {
        role,
        name: name.to_owned(),
        reason,
    })
}

/// The highest number of a `<name>-<n>` in `parent`, or 0. Numbers beyond 32 bits are not ours, so
/// counting up cannot overflow.
fn highest_number(parent: &Path, name: &str) -> Result<u64, Error> {
    let failed = |source| Error::io("read directory", parent, source);
    let mut highest = 0;
    for entry in fs::read_dir(parent).map_err(failed)? {
        let entry = entry.map_err(failed)?.file_name();
        let number = entry
            .to_str()
            .and_then(|entry| run_number(entry, name))
            .unwrap_or(0);
        highest = highest.max(u64::from(number));
    }
    Ok(highest)
}

fn run_number(entry: &str, name: &str) -> Option<u32> {
    let digits = entry.strip_prefix(name)?.strip_prefix('-')?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn created(root: &Path, name: &str) -> String {
        let run = RunDir::create(root, "train", name).unwrap();
        assert!(run.path().is_dir());
        assert_eq!(run.path().parent(), Some(root.join("train").as_path()));
        run.path().file_name().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn numbers_count_up_per_command_and_name() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("not/yet/there");
        assert_eq!(created(&root, "a"), "a-1");
        assert_eq!(created(&root, "a"), "a-2");
        assert_eq!(created(&root, "b"), "b-1");
        assert_eq!(created(&root, "a-1"), "a-1-1");
        assert_eq!(created(&root, "a"), "a-3");
        let evaluation = RunDir::create(&root, "evaluate", "a").unwrap();
        assert_eq!(evaluation.path(), root.join("evaluate/a-1"));
        assert_eq!(
            evaluation.join("report.html"),
            root.join("evaluate/a-1/report.html")
        );
    }

    #[test]
    fn gaps_stay_and_what_is_not_a_run_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        for entry in [
            "a-9",
            "a-x",
            "a-",
            "a-+40",
            "a--50",
            "ab-60",
            "a-99999999999999999999",
            "a-7.bak",
        ] {
            fs::create_dir_all(root.path().join("train").join(entry)).unwrap();
        }
        fs::write(root.path().join("train/a-10"), "a file").unwrap();
        assert_eq!(created(root.path(), "a"), "a-11");
        fs::remove_dir(root.path().join("train/a-9")).unwrap();
        assert_eq!(created(root.path(), "a"), "a-12");
    }

    #[test]
    fn runs_that_start_together_share_no_directory() {
        let root = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        let mut names: Vec<String> = std::thread::scope(|scope| {
            let claim = || {
                start.wait();
                (0..10)
                    .map(|_| created(root.path(), "a"))
                    .collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        names.sort_by_key(|name| name[2..].parse::<u32>().unwrap());
        assert_eq!(
            names,
            (1..=80)
                .map(|number| format!("a-{number}"))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn names_that_are_no_path_component_are_errors() {
        let root = tempfile::tempdir().unwrap();
        let long = "x".repeat(201);
        let cases = [
            ("", "it is empty"),
            (".", "dot"),
            ("..", "dot"),
            (".hidden", "dot"),
            ("a/b", "must not contain"),
            ("/etc", "must not contain"),
            ("a\\b", "must not contain"),
            ("hf:owner", "must not contain"),
            ("a\0b", "must not contain"),
            ("a\nb", "must not contain"),
            (long.as_str(), "longer than 200 bytes"),
        ];
        for (name, reason) in cases {
            for (role, result) in [
                ("command", RunDir::create(root.path(), name, "run")),
                ("run name", RunDir::create(root.path(), "train", name)),
            ] {
                let message = result.unwrap_err().to_string();
                assert!(
                    message.starts_with(&format!("{role} {name:?} ")),
                    "{message}"
                );
                assert!(message.contains(reason), "{message}");
            }
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_root_that_is_a_file_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("runs");
        fs::write(&file, "").unwrap();
        let error = RunDir::create(&file, "train", "a").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot create directory {}", file.join("train").display())
        );
    }
}
