//! Where the members of a tar archive lie: ustar, GNU's and pax headers.
//!
//! An archive is read from header to header and nothing is unpacked. What a header claims is held
//! against the archive's length before it is believed.

use std::io::{BufReader, Read, Seek, SeekFrom};

const BLOCK: usize = 512;

/// Bytes of a header that says the name of the next member.
const MAX_EXTENSION: u64 = 1 << 20;

/// A file, or something else that has a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Where its bytes begin.
    pub(super) offset: u64,
    pub(super) size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    /// A device, a pipe, a file with holes.
    Other,
}

/// How an archive ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With the blocks of zeros that mark it.
    Marked,
    /// Without them, after a whole member.
    Unmarked,
}

/// What the headers before a member say of it.
#[derive(Default)]
struct Extension {
    name: Option<String>,
    size: Option<u64>,
    has_holes: bool,
}

/// Calls `visit` with each member of an archive, in order, and with a reader of its bytes.
///
/// # Errors
///
/// What contradicts the format, in words, and what `visit` says.
pub(super) fn scan<R: Read + Seek>(
    source: R,
    mut visit: impl FnMut(Member, &mut dyn Read) -> Result<(), String>,
) -> Result<Ending, String> {
    let mut archive = Archive::of(source)?;
    let mut extension = Extension::default();
    loop {
        let Some(header) = archive.header()? else {
            return Ok(Ending::Unmarked);
        };
        if header == [0; BLOCK] {
            return Ok(Ending::Marked);
        }
        let start = archive.position - BLOCK as u64;
        if !has_right_checksum(&header) {
            return Err(match start {
                0 => "it is no tar archive: its first header's checksum is wrong".to_owned(),
                _ => format!("the header at byte {start} is damaged: its checksum is wrong"),
            });
        }
        let declared = number(&header[124..136])
            .ok_or_else(|| format!("the header at byte {start} has no size"))?;
        let kind = header[156];
        if let b'L' | b'K' | b'x' | b'g' = kind {
            let bytes = archive.extension(declared)?;
            match kind {
                b'L' => extension.name = Some(text(&bytes)),
                b'x' => extension.read_pax(&bytes)?,
                _ => {}
            }
            continue;
        }
        let extended = std::mem::take(&mut extension);
        let name = extended.name.unwrap_or_else(|| name(&header));
        let kind = match kind {
            _ if extended.has_holes => Kind::Other,
            0 if name.ends_with('/') => Kind::Folder,
            0 | b'0' | b'7' => Kind::File,
            b'1' | b'2' => Kind::Link,
            b'5' => Kind::Folder,
            _ => Kind::Other,
        };
        // Links, folders and devices have no bytes, whatever the header says.
        let size = match header[156] {
            b'1'..=b'6' => 0,
            _ => extended.size.unwrap_or(declared),
        };
        if size > archive.left() {
            return Err(format!(
                "truncated: `{}` declares {size} bytes at byte {}, of which {} are there",
                shown(&name),
                archive.position,
                archive.left()
            ));
        }
        let member = Member {
            name,
            kind,
            offset: archive.position,
            size,
        };
        let end = archive.position + size.next_multiple_of(BLOCK as u64);
        visit(member, &mut archive.reader.by_ref().take(size))?;
        archive.go_to(end)?;
    }
}

/// A name, cut where it is long.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(100).collect()
}

struct Archive<R: Read + Seek> {
    reader: BufReader<R>,
    position: u64,
    len: u64,
}

impl<R: Read + Seek> Archive<R> {
    fn of(mut source: R) -> Result<Self, String> {
        let len = source.seek(SeekFrom::End(0)).map_err(failed)?;
        source.rewind().map_err(failed)?;
        Ok(Self {
            reader: BufReader::new(source),
            position: 0,
            len,
        })
    }

    fn left(&self) -> u64 {
        self.len.saturating_sub(self.position)
    }

    /// The next block; `None` at the archive's end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, String> {
        if self.left() == 0 {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        if self.left() < BLOCK as u64 {
            return Err(format!(
                "truncated: {} bytes in place of a header at byte {}",
                self.left(),
                self.position
            ));
        }
        self.reader.read_exact(&mut block).map_err(failed)?;
        self.position += BLOCK as u64;
        Ok(Some(block))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, String> {
        if size > MAX_EXTENSION.min(self.left()) {
            return Err(format!(
                "the header at byte {} declares a name of {size} bytes",
                self.position - BLOCK as u64
            ));
        }
        let mut bytes = Vec::new();
        let mut reader = self.reader.by_ref().take(size);
        reader.read_to_end(&mut bytes).map_err(failed)?;
        self.go_to(self.position + size.next_multiple_of(BLOCK as u64))?;
        Ok(bytes)
    }

    /// The last member's padding may be cut.
    fn go_to(&mut self, position: u64) -> Result<(), String> {
        self.position = position.min(self.len);
        let now = self.reader.stream_position().map_err(failed)?;
        let step = i64::try_from(i128::from(self.position) - i128::from(now));
        let step = step.map_err(|_| "it is too large".to_owned())?;
        self.reader.seek_relative(step).map_err(failed)
    }
}

impl Extension {
    /// Reads the records `LENGTH KEY=VALUE` of pax.
    fn read_pax(&mut self, bytes: &[u8]) -> Result<(), String> {
        let broken = || "a pax header is malformed".to_owned();
        let mut rest = bytes;
        while !rest.is_empty() && rest[0] != 0 {
            let space = rest.iter().take(20).position(|&byte| byte == b' ');
            let space = space.ok_or_else(broken)?;
            let len = str::from_utf8(&rest[..space]).ok();
            let len: usize = len.and_then(|len| len.parse().ok()).ok_or_else(broken)?;
            let record = rest.get(space + 1..len).ok_or_else(broken)?;
            let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
            let equals = record.iter().position(|&byte| byte == b'=');
            let (key, value) = record.split_at(equals.ok_or_else(broken)?);
            let value = &value[1..];
            match key {
                b"path" => self.name = Some(text(value)),
                b"size" => {
                    let size = str::from_utf8(value)
                        .ok()
                        .and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or_else(broken)?);
                }
                _ => self.has_holes |= key.starts_with(b"GNU.sparse."),
            }
            rest = &rest[len..];
        }
        Ok(())
    }
}

fn failed(error: std::io::Error) -> String {
    error.to_string()
}

/// The bytes before the first zero.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

fn name(header: &[u8; BLOCK]) -> String {
    let name = text(&header[..100]);
    let prefix = text(&header[345..500]);
    // GNU's older headers keep times in place of a prefix.
    if prefix.is_empty() || &header[257..263] != b"ustar\0" {
        return name;
    }
    format!("{prefix}/{name}")
}

/// Octal digits, or a binary number where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        return field[1..].iter().try_fold(0_u64, |number, &byte| {
            Some(number.checked_mul(256)? + u64::from(byte))
        });
    }
    let digits = str::from_utf8(field).ok()?;
    let digits = digits.trim_matches(|character| character == ' ' || character == '\0');
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(digits, 8).ok()
}

/// Whether the sum of the header's bytes is the one that it says; old programs summed with signs.
fn has_right_checksum(header: &[u8; BLOCK]) -> bool {
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (place, &byte) in header.iter().enumerate() {
        let byte = if (148..156).contains(&place) {
            b' '
        } else {
            byte
        };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    let declared = number(&header[148..156]).and_then(|sum| i64::try_from(sum).ok());
    declared.is_some_and(|sum| sum == unsigned || sum == signed)
}
