//! A lock between processes that dies with its holder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::net::pause;
use crate::{Error, Event, Progress};

/// Between two looks whether the other process has finished.
const INTERVAL: Duration = Duration::from_millis(100);

/// A number of a process is shorter.
const LONGEST_NOTE: u64 = 20;

/// Holds a file locked as `flock` does, which Python's `filelock` respects; the system releases it
/// when the process ends, however it ends.
///
/// The file has the number of the process that holds it.
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
    removes_file: bool,
}

impl Lock {
    /// Waits until no other process holds the file.
    pub(crate) fn acquire(
        path: &Path,
        name: &str,
        progress: &mut dyn Progress,
    ) -> Result<Self, Error> {
        let mut is_told = false;
        let mut rounds = 0;
        loop {
            let mut file = open(path).map_err(|error| Error::io("write", path, error))?;
            match file.try_lock() {
                Ok(()) if is_still_there(&file, path) => {
                    // Only for who waits; the lock holds without.
                    let _ = write_process(&mut file);
                    return Ok(Self {
                        file,
                        path: path.to_owned(),
                        removes_file: false,
                    });
                }
                // The holder removed the file after this one had opened it.
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {
                    // Who has just taken it may not have said so yet.
                    let process = read_process(&mut file);
                    if !is_told && (process.is_some() || rounds > 0) {
                        is_told = true;
                        progress.event(&Event::Waiting { name, process });
                    }
                    rounds += 1;
                    pause(INTERVAL, name, progress)?;
                }
                Err(TryLockError::Error(error)) => {
                    return Err(Error::io("lock", path, error));
                }
            }
        }
    }

    /// Removes the file when the lock is released.
    pub(crate) fn removing_file(mut self) -> Self {
        self.removes_file = true;
        self
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.removes_file {
            let _ = fs::remove_file(&self.path);
        } else {
            let _ = self.file.set_len(0);
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Whether the path still leads to this file.
fn is_still_there(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let own = file.metadata().map(place);
        own.is_ok_and(|own| {
            fs::metadata(path)
                .map(place)
                .is_ok_and(|other| own == other)
        })
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        true
    }
}

fn write_process(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(std::process::id().to_string().as_bytes())
}

fn read_process(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(LONGEST_NOTE).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;
    use crate::Silent;

    #[test]
    fn one_at_a_time_holds_it_and_the_others_are_told_who() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.lock");
        let inside = AtomicU32::new(0);
        let told = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut progress = |event: &Event<'_>| {
                        if let Event::Waiting { process, .. } = event {
                            told.store(process.unwrap_or_default(), Ordering::SeqCst);
                        }
                    };
                    let lock = Lock::acquire(&path, "x", &mut progress)
                        .unwrap()
                        .removing_file();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    thread::sleep(Duration::from_millis(30));
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(lock);
                });
            }
        });
        assert_eq!(told.load(Ordering::SeqCst), std::process::id());
        assert!(!path.exists());
        drop(Lock::acquire(&path, "x", &mut Silent).unwrap());
        assert!(path.exists());
    }
}
