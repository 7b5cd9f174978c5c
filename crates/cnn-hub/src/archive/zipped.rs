//! Zip archives (PKWARE's APPNOTE), entry by entry: the directory is never held in memory.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::staging::Sink;
use crate::Error;

/// The record at the end of an archive, and the longest comment behind it.
const END: usize = 22;
const LONGEST_COMMENT: usize = u16::MAX as usize;

/// A link's target is shorter.
const LONGEST_LINK: u64 = 4096;

/// The bits of a Unix mode that say what a file is.
const KIND: u32 = 0o170_000;
const ORDINARY: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Systems whose attributes hold a Unix mode: Unix and OS X.
const UNIX: [u8; 2] = [3, 19];

const ENCRYPTED: u16 = 1;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

pub(super) fn unpack(file: File, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut content = File::open(sink.archive()).map_err(|error| sink.damaged(&error))?;
    let mut directory = BufReader::new(file);
    let end = find_directory(&mut directory).map_err(|error| sink.damaged(&error))?;
    if end.entries > sink.most_entries() {
        let reason = format!(
            "it has {} entries, at most {} are accepted; raise the limit if that is meant",
            end.entries,
            sink.most_entries()
        );
        return Err(sink.refuse(reason));
    }
    for _ in 0..end.entries {
        let entry = read_entry(&mut directory).map_err(|error| sink.damaged(&error))?;
        unpack_entry(&entry, end.base, &mut content, sink)?;
    }
    Ok(())
}

fn unpack_entry(
    entry: &Entry,
    base: u64,
    content: &mut File,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let name = &entry.name;
    if entry.kind == DIRECTORY || name.ends_with(b"/") {
        return sink.directory(name);
    }
    if !matches!(entry.kind, 0 | ORDINARY | LINK) {
        return Err(sink.refuse_entry(name, "is a device or a pipe"));
    }
    if entry.flags & ENCRYPTED != 0 {
        return Err(sink.refuse_entry(name, "is encrypted, which is not read"));
    }
    if !matches!(entry.method, STORED | DEFLATED) {
        let reason = format!(
            "is compressed by method {}, which is not read; stored and deflated ones are",
            entry.method
        );
        return Err(sink.refuse_entry(name, &reason));
    }
    find_content(entry, base, content).map_err(|error| sink.damaged(&error))?;
    let packed = BufReader::new(content.take(entry.packed));
    let bytes: Box<dyn Read + '_> = match entry.method {
        STORED => Box::new(packed),
        _ => Box::new(DeflateDecoder::new(packed)),
    };
    let mut bytes = Verified {
        bytes,
        left: entry.size,
        crc: Crc::new(),
        expected: entry.crc,
    };
    if entry.kind != LINK {
        return sink.file(name, bytes);
    }
    let mut target = Vec::new();
    let read = (&mut bytes).take(LONGEST_LINK).read_to_end(&mut target);
    read.map_err(|error| sink.damaged(&error))?;
    sink.link(name, &target, false)
}

/// Where the directory is, and what the offsets of its entries count from.
struct End {
    entries: u64,
    base: u64,
}

/// Reads the record at the end and leaves the reader at the first entry of the directory.
fn find_directory(file: &mut BufReader<File>) -> io::Result<End> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_length = length.min((END + LONGEST_COMMENT) as u64);
    let tail_start = length - tail_length;
    file.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    file.take(tail_length).read_to_end(&mut tail)?;
    let is_end = |at: &usize| {
        let record = Fields(&tail[*at..]);
        let comment = record.u16(20).map(usize::from);
        record.0.starts_with(b"PK\x05\x06")
            && comment.is_some_and(|comment| at + END + comment <= tail.len())
    };
    let at = (0..tail.len().saturating_sub(END - 1)).rev().find(is_end);
    let at = at.ok_or_else(|| nonsense("its directory is missing"))?;
    let record = Fields(&tail[at..]);
    let mut entries = record.u16(10).map(u64::from).ok_or_else(cut)?;
    let mut size = record.u32(12).map(u64::from).ok_or_else(cut)?;
    let mut offset = record.u32(16).map(u64::from).ok_or_else(cut)?;
    let mut directory_end = tail_start + at as u64;
    let is_large = entries == u64::from(u16::MAX) || [size, offset].contains(&u64::from(u32::MAX));
    let locator = at.checked_sub(20).map(|at| Fields(&tail[at..]));
    if let Some(locator) =
        locator.filter(|locator| is_large && locator.0.starts_with(b"PK\x06\x07"))
    {
        // The record of large archives; what stands before the archive does not count.
        let place = locator.u64(8).ok_or_else(cut)?;
        file.seek(SeekFrom::Start(place))?;
        let mut record = [0; 56];
        file.read_exact(&mut record)?;
        let record = Fields(&record);
        if !record.0.starts_with(b"PK\x06\x06") {
            return Err(nonsense("its directory is missing"));
        }
        entries = record.u64(32).ok_or_else(cut)?;
        size = record.u64(40).ok_or_else(cut)?;
        offset = record.u64(48).ok_or_else(cut)?;
        directory_end = place;
    }
    let start = directory_end.checked_sub(size);
    let base = start.and_then(|start| start.checked_sub(offset));
    let (Some(start), Some(base)) = (start, base) else {
        return Err(nonsense("its directory is larger than the file"));
    };
    file.seek(SeekFrom::Start(start))?;
    Ok(End { entries, base })
}

/// What the directory says of an entry.
struct Entry {
    name: Vec<u8>,
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
    /// The kind of file by its Unix mode, 0 where there is none.
    kind: u32,
}

fn read_entry(directory: &mut impl Read) -> io::Result<Entry> {
    let mut record = [0; 46];
    directory.read_exact(&mut record)?;
    let record = Fields(&record);
    if !record.0.starts_with(b"PK\x01\x02") {
        return Err(nonsense("an entry of its directory is missing"));
    }
    let u16 = |at| record.u16(at).ok_or_else(cut);
    let u32 = |at| record.u32(at).ok_or_else(cut);
    let mut text = |at| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::from(u16(at)?)];
        directory.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let name = text(28)?;
    let extra = text(30)?;
    let _comment = text(32)?;
    let kind = if UNIX.contains(&record.0[5]) {
        (u32(38)? >> 16) & KIND
    } else {
        0
    };
    let mut entry = Entry {
        name,
        flags: u16(8)?,
        method: u16(10)?,
        crc: u32(16)?,
        packed: u64::from(u32(20)?),
        size: u64::from(u32(24)?),
        offset: u64::from(u32(42)?),
        kind,
    };
    take_large_sizes(&mut entry, &extra)?;
    Ok(entry)
}

/// Fields that are too large for their places stand behind the name, in this order.
fn take_large_sizes(entry: &mut Entry, mut extra: &[u8]) -> io::Result<()> {
    let is_large = |value: u64| value == u64::from(u32::MAX);
    while let (Some(id), Some(length)) = (Fields(extra).u16(0), Fields(extra).u16(2)) {
        let end = 4 + usize::from(length);
        let Some(field) = extra.get(4..end) else {
            return Ok(());
        };
        if id == 1 {
            let mut at = 0;
            for value in [&mut entry.size, &mut entry.packed, &mut entry.offset] {
                if is_large(*value) {
                    *value = Fields(field).u64(at).ok_or_else(cut)?;
                    at += 8;
                }
            }
        }
        extra = &extra[end..];
    }
    Ok(())
}

/// Leaves the file at the bytes of an entry, whose own header must name it as the directory does.
fn find_content(entry: &Entry, base: u64, file: &mut File) -> io::Result<()> {
    let place = base.checked_add(entry.offset).ok_or_else(cut)?;
    file.seek(SeekFrom::Start(place))?;
    let mut header = [0; 30];
    file.read_exact(&mut header)?;
    let header = Fields(&header);
    let lengths = (header.u16(26), header.u16(28));
    let (true, (Some(name), Some(extra))) = (header.0.starts_with(b"PK\x03\x04"), lengths) else {
        return Err(nonsense("an entry is not where its directory says"));
    };
    let mut own = vec![0; usize::from(name)];
    file.read_exact(&mut own)?;
    if own != entry.name {
        return Err(nonsense(
            "an entry has another name than its directory says",
        ));
    }
    file.seek(SeekFrom::Current(i64::from(extra)))?;
    Ok(())
}

/// Numbers in a record, the lowest byte first.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }
}

fn cut() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn nonsense(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Bytes that must be as many as the directory says, with its checksum.
struct Verified<R> {
    bytes: R,
    left: u64,
    crc: Crc,
    expected: u32,
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.crc.update(&buffer[..read]);
        let left = self.left.checked_sub(read as u64);
        self.left =
            left.ok_or_else(|| nonsense("an entry has more bytes than its directory says"))?;
        if read == 0 && !buffer.is_empty() {
            if self.left > 0 {
                return Err(cut());
            }
            if self.crc.sum() != self.expected {
                return Err(nonsense("the checksum of an entry is wrong"));
            }
        }
        Ok(read)
    }
}
