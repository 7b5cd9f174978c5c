//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::Error;

/// Writes a file so that under `path` there is, at any moment and after any crash, either the old
/// content or the new one, whole.
///
/// `write` gets a buffered writer to a temporary file in the same directory, which is synced to
/// disk and renamed to `path` at the end. If `write` fails or panics, `path` is as it was and the
/// temporary file is gone; only a killed process can leave one (`.tmp-*`).
///
/// - The file's mode is that of any new file, 0666 less the umask, also where it replaces one of
///   another mode.
/// - A symbolic link to a file stays, and the file that it points to is replaced.
/// - What is neither file nor directory (`/dev/stdout`, a pipe) is written to directly.
///
/// # Errors
///
/// [`Error::Io`] naming `path` if the directory does not exist or cannot be written, or if `write`
/// fails (its error is the source); [`Error::IsDirectory`] if `path` is a directory. In either case
/// nothing has changed.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("summary.json");
/// cnn_core::write_atomic(&path, |file| write!(file, "{{\"top1\": 0.5}}"))?;
/// assert_eq!(std::fs::read_to_string(&path)?, "{\"top1\": 0.5}");
/// # Ok(())
/// # }
/// ```
pub fn write_atomic(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(Error::IsDirectory {
                path: path.to_owned(),
            });
        }
        Ok(metadata) if !metadata.is_file() => write_through(path, write),
        Ok(_) => fs::canonicalize(path).and_then(|target| replace(&target, write)),
        Err(_) => replace(path, write),
    }
    .map_err(|source| Error::io("write", path, source))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let directory = directory_of(path);
    let mut temporary = temporary_in(&directory)?;
    let mut buffered = BufWriter::new(temporary.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_directory(&directory);
    Ok(())
}

fn write_through(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffered = BufWriter::new(File::options().write(true).open(path)?);
    write(&mut buffered)?;
    buffered.flush()
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn temporary_in(directory: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".tmp-");
    // Temporary files are private by default; this one becomes an ordinary file, and the umask
    // applies when it is opened.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory)
}

/// Makes the rename itself durable. The file is in place whether or not the system allows this.
fn sync_directory(directory: &Path) {
    #[cfg(unix)]
    if let Ok(handle) = File::open(directory) {
        let _ = handle.sync_all();
    }
    #[cfg(not(unix))]
    let _ = directory;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::error::Error as _;

    use super::*;

    fn entries(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn creates_and_replaces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        let large = vec![7; 100_000];
        for content in [b"".as_slice(), b"old", &large, b"new"] {
            write_atomic(&path, |file| file.write_all(content)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        assert_eq!(entries(directory.path()), ["weights"]);
    }

    #[test]
    fn the_old_content_is_there_until_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        fs::write(&path, "old").unwrap();
        write_atomic(&path, |file| {
            file.write_all(&[0; 100_000])?;
            assert_eq!(fs::read_to_string(&path)?, "old");
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);
    }

    #[test]
    fn an_error_leaves_everything_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        fs::write(&path, "old").unwrap();
        let error = write_atomic(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot write {}", path.display())
        );
        assert_eq!(error.source().unwrap().to_string(), "disk full");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(entries(directory.path()), ["weights"]);
    }

    #[test]
    fn a_panic_leaves_everything_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        fs::write(&path, "old").unwrap();
        let result = std::panic::catch_unwind(|| {
            write_atomic(&path, |file| {
                file.write_all(b"half")?;
                panic!("deliberate")
            })
        });
        assert!(result.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(entries(directory.path()), ["weights"]);
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing/weights");
        let error = write_atomic(&path, |_| Ok(())).unwrap_err();
        assert!(matches!(&error, Error::Io { path: named, source, .. }
            if *named == path && source.kind() == io::ErrorKind::NotFound));
        assert!(entries(directory.path()).is_empty());
    }

    #[test]
    fn a_directory_as_target_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run");
        fs::create_dir(&path).unwrap();
        let error = write_atomic(&path, |_| panic!("must not be called")).unwrap_err();
        assert!(matches!(error, Error::IsDirectory { path: named } if named == path));
        assert_eq!(entries(directory.path()), ["run"]);
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode()
        }

        #[test]
        fn the_mode_is_that_of_any_new_file() {
            let directory = tempfile::tempdir().unwrap();
            let [ordinary, path] = ["ordinary", "weights"].map(|name| directory.path().join(name));
            fs::write(&ordinary, "").unwrap();
            write_atomic(&path, |_| Ok(())).unwrap();
            assert_eq!(mode(&path), mode(&ordinary));
            fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
            write_atomic(&path, |_| Ok(())).unwrap();
            assert_eq!(mode(&path), mode(&ordinary));
        }

        const TARGET: &str = "CNN_CORE_TEST_TARGET";

        /// Umask and file size limit belong to the process, so they are set in one of its own: runs
        /// this test again after the shell commands `limits`, with `path` in the environment, and
        /// tells whether it passed.
        fn passes_under(limits: &str, test: &str, path: &Path) -> bool {
            std::process::Command::new("sh")
                .args([
                    "-c",
                    &format!(r#"{limits}; exec "$1" --exact "files::tests::unix::$2""#),
                    "sh",
                ])
                .arg(std::env::current_exe().unwrap())
                .arg(test)
                .env(TARGET, path)
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap()
                .success()
        }

        #[test]
        fn the_mode_follows_the_umask() {
            if let Some(path) = std::env::var_os(TARGET) {
                return write_atomic(Path::new(&path), |_| Ok(())).unwrap();
            }
            let directory = tempfile::tempdir().unwrap();
            for (umask, expected) in [
                ("000", 0o666),
                ("022", 0o644),
                ("027", 0o640),
                ("077", 0o600),
            ] {
                let path = directory.path().join(umask);
                assert!(
                    passes_under(
                        &format!("umask {umask}"),
                        "the_mode_follows_the_umask",
                        &path
                    ),
                    "umask {umask}"
                );
                assert_eq!(mode(&path) & 0o7777, expected, "umask {umask}");
            }
        }

        // These few bytes reach the system when the buffer is flushed, after the closure has
        // returned.
        #[test]
        fn an_error_at_the_very_end_is_reported() {
            if let Some(path) = std::env::var_os(TARGET) {
                let error =
                    write_atomic(Path::new(&path), |file| file.write_all(b"new")).unwrap_err();
                assert!(
                    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge)
                );
                return;
            }
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("weights");
            fs::write(&path, "old").unwrap();
            let limits = "trap '' XFSZ; ulimit -f 0";
            assert!(passes_under(
                limits,
                "an_error_at_the_very_end_is_reported",
                &path
            ));
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            assert_eq!(entries(directory.path()), ["weights"]);
        }

        #[test]
        fn a_link_stays_and_its_target_is_replaced() {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir(directory.path().join("store")).unwrap();
            let target = directory.path().join("store/weights");
            fs::write(&target, "old").unwrap();
            let link = directory.path().join("best");
            symlink("store/weights", &link).unwrap();
            write_atomic(&link, |file| file.write_all(b"new")).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        }

        #[test]
        fn what_is_no_file_is_written_to_and_not_replaced() {
            let directory = tempfile::tempdir().unwrap();
            let pipe = directory.path().join("pipe");
            assert!(
                std::process::Command::new("mkfifo")
                    .arg(&pipe)
                    .status()
                    .unwrap()
                    .success()
            );
            let reader = std::thread::spawn({
                let pipe = pipe.clone();
                move || fs::read(pipe)
            });
            write_atomic(&pipe, |file| file.write_all(b"through")).unwrap();
            assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
            assert_eq!(reader.join().unwrap().unwrap(), b"through");
            // Only after a pipe has survived is a device risked.
            #[cfg(target_os = "linux")]
            assert!(write_atomic(Path::new("/dev/full"), |file| file.write_all(b"gone")).is_err());
        }
    }
}
