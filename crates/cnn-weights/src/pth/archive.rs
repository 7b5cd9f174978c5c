//! The directory of a zip archive (APPNOTE 6.3), with zip64: names, and where the records' bytes
//! lie.
//!
//! Only what the writers of weight files use: one volume, no encryption, records stored or
//! deflated. Checksums are not verified: PyTorch may leave them out
//! (`torch.serialization.set_crc32_options`).

use std::collections::HashMap;
use std::ops::Range;

use crate::Error;

const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const END64_LOCATOR: [u8; 4] = *b"PK\x06\x07";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";

const END_LEN: usize = 22;
const CENTRAL_LEN: usize = 46;
const LOCAL_LEN: usize = 30;
const MAX_COMMENT: usize = 0xffff;

/// What 32-bit fields hold where the value is in the zip64 field.
const IN_ZIP64: u64 = 0xffff_ffff;

/// The records of an archive, by name.
pub(super) struct Archive<'a> {
    records: HashMap<&'a [u8], Record>,
    names: Vec<&'a [u8]>,
}

/// One file in the archive.
pub(super) struct Record {
    pub(super) deflated: bool,
    /// Bytes once inflated.
    pub(super) size: usize,
    compressed_size: usize,
    header: usize,
}

impl<'a> Archive<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let (mut rest, count) = directory(bytes)?;
        let mut archive = Self {
            records: HashMap::new(),
            names: Vec::new(),
        };
        for _ in 0..count {
            let (name, record, after) = central_header(rest)?;
            if archive.records.insert(name, record).is_some() {
                return Err(malformed(format!(
                    "two records are named `{}`",
                    super::key_text(name)
                )));
            }
            archive.names.push(name);
            rest = after;
        }
        Ok(archive)
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Record> {
        self.records.get(name)
    }

    /// In the archive's order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        self.names.iter().copied()
    }
}

impl Record {
    /// Where its bytes lie; the length of the local header is only known there.
    pub(super) fn data(&self, bytes: &[u8]) -> Result<Range<usize>, Error> {
        let header = part(bytes, self.header, LOCAL_LEN)?;
        if !header.starts_with(&LOCAL) {
            return Err(malformed(format!(
                "there is no record at byte {}",
                self.header
            )));
        }
        let skip = LOCAL_LEN + number::<2>(header, 26) as usize + number::<2>(header, 28) as usize;
        let start = self.header + skip;
        part(bytes, start, self.compressed_size)?;
        Ok(start..start + self.compressed_size)
    }
}

/// The central directory's bytes and how many records it lists.
fn directory(bytes: &[u8]) -> Result<(&[u8], u64), Error> {
    let end_at = end_record(bytes)?;
    let end = part(bytes, end_at, END_LEN)?;
    let mut place = [
        number::<2>(end, 10),
        number::<4>(end, 12),
        number::<4>(end, 16),
    ];
    if let Some(locator) = end_at
        .checked_sub(20)
        .map(|at| &bytes[at..end_at])
        .filter(|locator| locator.starts_with(&END64_LOCATOR))
    {
        let end64 = part(bytes, size(number::<8>(locator, 8))?, 56)?;
        if !end64.starts_with(&END64) {
            return Err(malformed("its zip64 end record is not where it should be"));
        }
        place = [
            number::<8>(end64, 32),
            number::<8>(end64, 40),
            number::<8>(end64, 48),
        ];
    }
    let [count, len, start] = place;
    Ok((part(bytes, size(start)?, size(len)?)?, count))
}

/// The end record is last, before a comment of up to 64 KiB.
fn end_record(bytes: &[u8]) -> Result<usize, Error> {
    let latest = bytes.len().checked_sub(END_LEN).ok_or_else(no_end)?;
    (latest.saturating_sub(MAX_COMMENT)..=latest)
        .rev()
        .find(|&at| {
            let end = &bytes[at..];
            end.starts_with(&END) && number::<2>(end, 20) as usize == latest - at
        })
        .ok_or_else(no_end)
}

/// Name and record of the first central header in `bytes`, and what follows it.
fn central_header(bytes: &[u8]) -> Result<(&[u8], Record, &[u8]), Error> {
    let header = part(bytes, 0, CENTRAL_LEN)?;
    if !header.starts_with(&CENTRAL) {
        return Err(malformed("its directory lists more records than it holds"));
    }
    let [name_len, extra_len, comment_len] =
        [28, 30, 32].map(|at| number::<2>(header, at) as usize);
    let name = part(bytes, CENTRAL_LEN, name_len)?;
    let extra = part(bytes, CENTRAL_LEN + name_len, extra_len)?;
    let next = CENTRAL_LEN + name_len + extra_len + comment_len;
    let rest = bytes.get(next..).ok_or_else(cut)?;

    // The zip64 field holds, in this order, those of the three that do not fit.
    let mut fields = [
        number::<4>(header, 24),
        number::<4>(header, 20),
        number::<4>(header, 42),
    ];
    let mut wide = zip64_field(extra);
    for field in fields.iter_mut().filter(|field| **field == IN_ZIP64) {
        if let Some((value, after)) = wide.split_first_chunk() {
            *field = u64::from_le_bytes(*value);
            wide = after;
        }
    }
    let [size, compressed_size, header_at] = fields.map(self::size);
    let record = Record {
        deflated: match (number::<2>(header, 8) & 1, number::<2>(header, 10)) {
            (0, 0) => false,
            (0, 8) => true,
            (0, method) => {
                return Err(unsupported(
                    name,
                    &format!("compressed with method {method}; stored and deflated are read"),
                ));
            }
            _ => return Err(unsupported(name, "encrypted")),
        },
        size: size?,
        compressed_size: compressed_size?,
        header: header_at?,
    };
    if !record.deflated && record.size != record.compressed_size {
        return Err(malformed(format!(
            "stored record `{}` has two sizes",
            super::key_text(name)
        )));
    }
    Ok((name, record, rest))
}

/// The content of the extra field with id 1, empty where there is none.
fn zip64_field(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let len = number::<2>(head, 2) as usize;
        match rest.split_at_checked(len) {
            Some((field, _)) if number::<2>(head, 0) == 1 => return field,
            Some((_, after)) => extra = after,
            None => break,
        }
    }
    &[]
}

/// The little-endian number of `N` bytes at `at` of a header whose length was checked.
fn number<const N: usize>(header: &[u8], at: usize) -> u64 {
    header[at..at + N]
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn size(value: u64) -> Result<usize, Error> {
    usize::try_from(value).map_err(|_| cut())
}

fn part(bytes: &[u8], start: usize, len: usize) -> Result<&[u8], Error> {
    bytes
        .get(start..)
        .and_then(|rest| rest.get(..len))
        .ok_or_else(cut)
}

fn cut() -> Error {
    malformed("a part of it is said to lie beyond its end")
}

fn no_end() -> Error {
    malformed("its end record is missing: the file is cut")
}

fn unsupported(name: &[u8], how: &str) -> Error {
    Error::Unsupported(format!(
        "record `{}` of the archive is {how}",
        super::key_text(name)
    ))
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed {
        format: "PyTorch zip",
        reason: reason.into(),
    }
}
