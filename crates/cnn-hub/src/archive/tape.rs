//! Tar archives: ustar, GNU's and POSIX's long names.

use std::io::{self, Read};

use tar::{Archive, EntryType, Header};

use super::staging::Sink;
use crate::Error;

/// The largest record of a long name or of extended attributes.
const LARGEST_RECORD: u64 = 1 << 20;

/// What an entry takes beside its bytes.
const OVERHEAD: u64 = 4096;

/// Whether a block has the checksum of an entry's header.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Some(block) = block.first_chunk::<512>() else {
        return false;
    };
    let mut header = Header::new_old();
    *header.as_mut_bytes() = *block;
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    // The checksum counts its own field as spaces.
    let expected = sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]);
    expected != 8 * u32::from(b' ') && header.cksum().is_ok_and(|found| found == expected)
}

/// Names that records before an entry give to it.
#[derive(Default)]
struct Long {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

pub(super) fn unpack(reader: impl Read, sink: &mut Sink<'_>) -> Result<(), Error> {
    // Entries that are passed over are read, too, so the whole stream has a bound.
    let most = sink
        .most_bytes()
        .saturating_add(sink.most_entries().saturating_mul(OVERHEAD));
    let mut archive = Archive::new(Bounded { reader, left: most });
    let entries = archive.entries().map_err(|error| sink.damaged(&error))?;
    let mut long = Long::default();
    for entry in entries.raw(true) {
        let mut entry = entry.map_err(|error| sink.damaged(&error))?;
        let kind = entry.header().entry_type();
        let size = entry
            .header()
            .size()
            .map_err(|error| sink.damaged(&error))?;
        if matches!(
            kind,
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader
        ) {
            if size > LARGEST_RECORD {
                return Err(sink.refuse(format!(
                    "it has a name of {size} bytes, at most {LARGEST_RECORD} are read"
                )));
            }
            let mut record = Vec::new();
            let read = (&mut entry).take(LARGEST_RECORD).read_to_end(&mut record);
            read.map_err(|error| sink.damaged(&error))?;
            take_record(&mut long, kind, record);
            continue;
        }
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let long = std::mem::take(&mut long);
        let name = long
            .name
            .unwrap_or_else(|| entry.header().path_bytes().into_owned());
        if long.size.is_some_and(|own| own != size) {
            return Err(sink.refuse_entry(&name, "has more than 8 GiB, which is not read"));
        }
        match kind {
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => {
                sink.directory(&name)?
            }
            EntryType::Regular | EntryType::Continuous => sink.file(
                &name,
                Whole {
                    reader: &mut entry,
                    left: size,
                },
            )?,
            EntryType::Directory => sink.directory(&name)?,
            EntryType::Symlink | EntryType::Link => {
                let target = long
                    .link
                    .or_else(|| Some(entry.header().link_name_bytes()?.into_owned()));
                sink.link(&name, &target.unwrap_or_default(), kind == EntryType::Link)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Err(sink.refuse_entry(&name, "is a device or a pipe"));
            }
            other => {
                let reason = format!(
                    "is of kind {:?}, which is not read",
                    char::from(other.as_byte())
                );
                return Err(sink.refuse_entry(&name, &reason));
            }
        }
    }
    Ok(())
}

fn take_record(long: &mut Long, kind: EntryType, record: Vec<u8>) {
    let text = |mut record: Vec<u8>| {
        record.truncate(
            record
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(record.len()),
        );
        record
    };
    match kind {
        EntryType::GNULongName => long.name = Some(text(record)),
        EntryType::GNULongLink => long.link = Some(text(record)),
        _ => {
            for extension in tar::PaxExtensions::new(&record).flatten() {
                match extension.key_bytes() {
                    b"path" => long.name = Some(extension.value_bytes().to_vec()),
                    b"linkpath" => long.link = Some(extension.value_bytes().to_vec()),
                    b"size" => {
                        let size = extension.value().ok().and_then(|size| size.parse().ok());
                        long.size = Some(size.unwrap_or(u64::MAX));
                    }
                    _ => (),
                }
            }
        }
    }
}

/// A stream that may have no more than so many bytes.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("it is larger than its limits allow"));
        }
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.reader.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Bytes that must all be there.
struct Whole<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.saturating_sub(read as u64);
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}
