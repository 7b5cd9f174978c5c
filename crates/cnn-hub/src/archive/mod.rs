//! Archives into directories: zip, tar and gzipped tar, by their content and not their names.
//!
//! An archive can be made to write elsewhere, to fill the disk from a few bytes, or to leave links
//! and devices behind. Here each entry is a file or a directory below the target, written once, and
//! counted against [`ArchiveLimits`].

mod name;
mod staging;
mod tape;
mod zipped;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, Progress};

pub(crate) use staging::Staging;

/// How much an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// The most entries, directories and links included; by default two million.
    pub entries: u64,
    /// The most bytes of all files together; by default 256 GiB.
    pub bytes: u64,
    /// The most bytes for each byte of the archive, beyond 64 MiB; by default 100.
    pub ratio: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            entries: 2_000_000,
            bytes: 256 << 30,
            ratio: 100,
        }
    }
}

/// Up to here any ratio will do: a small archive of zeros is no attack.
const HARMLESS: u64 = 64 << 20;

impl ArchiveLimits {
    /// The most bytes that may come out of an archive of this size.
    fn bytes_of(&self, archive: u64) -> u64 {
        self.bytes
            .min(archive.saturating_mul(self.ratio).max(HARMLESS))
    }
}

/// What an archive had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unpacked {
    /// Files, links to files included.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// Unpacks a zip, tar or tar.gz archive into a new directory, which appears whole or not at all.
///
/// What happens to an entry:
///
/// - its bytes are written as an ordinary file of the usual mode; times, owners and modes are not
///   kept;
/// - a name that is not UTF-8 is kept as it is on Unix;
/// - a link to a file of the archive becomes that file (a hard link, or a copy).
///
/// Two processes that unpack to the same target do so one after the other; the second finds it there
/// and fails.
///
/// # Errors
///
/// [`Error::Argument`] if `target` exists; [`Error::UnsafeName`] for a name or a link that leads out
/// of the target; [`Error::Archive`] if the file is no archive of these kinds, is damaged, encrypted,
/// names a file twice, has devices or other special files, or exceeds `limits`;
/// [`Error::DiskFull`] or [`Error::Io`] from the disk; [`Error::Cancelled`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let mut tar = tar::Builder::new(Vec::new());
/// let mut header = tar::Header::new_ustar();
/// header.set_size(3);
/// tar.append_data(&mut header, "photos/cat/1.txt", &b"cat"[..])?;
/// std::fs::write(directory.join("photos.tar"), tar.into_inner()?)?;
///
/// let (archive, target) = (directory.join("photos.tar"), directory.join("unpacked"));
/// let unpacked = cnn_hub::unpack(&archive, &target, &Default::default(), &mut cnn_hub::Silent)?;
/// assert_eq!(unpacked.files, 1);
/// assert_eq!(std::fs::read_to_string(target.join("photos/cat/1.txt"))?, "cat");
/// # Ok(())
/// # }
/// ```
pub fn unpack(
    archive: &Path,
    target: &Path,
    limits: &ArchiveLimits,
    progress: &mut dyn Progress,
) -> Result<Unpacked, Error> {
    let mut staging = Staging::begin(target, progress)?;
    let unpacked = unpack_into(archive, &mut staging, limits, progress)?;
    staging.finish()?;
    Ok(unpacked)
}

/// Unpacks an archive into a directory in the making.
pub(crate) fn unpack_into(
    archive: &Path,
    staging: &mut Staging,
    limits: &ArchiveLimits,
    progress: &mut dyn Progress,
) -> Result<Unpacked, Error> {
    let io = |error| Error::io("read", archive, error);
    let mut file = File::open(archive).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut beginning = Vec::new();
    (&mut file)
        .take(512)
        .read_to_end(&mut beginning)
        .map_err(io)?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut sink = staging.sink(archive, limits.entries, limits.bytes_of(size), progress);
    match Format::of(&beginning) {
        Some(Format::Zip) => zipped::unpack(file, &mut sink)?,
        Some(Format::Tar) => tape::unpack(file, &mut sink)?,
        Some(Format::Gzip) => tape::unpack(MultiGzDecoder::new(file), &mut sink)?,
        None => return Err(sink.refuse("it is neither zip, tar nor tar.gz")),
    }
    sink.finish()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Zip,
    Tar,
    Gzip,
}

impl Format {
    fn of(beginning: &[u8]) -> Option<Self> {
        match beginning {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            block if tape::is_header(block) => Some(Self::Tar),
            _ => None,
        }
    }
}
