//! Archives that say whatever a test wants.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::io::Write;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

/// An entry of a zip archive that is about to be written.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub content: Vec<u8>,
    pub mode: u32,
    pub deflated: bool,
    /// What the headers claim, where it is not the truth.
    pub claimed_size: Option<u32>,
    pub claimed_crc: Option<u32>,
    pub flags: u16,
    pub method: Option<u16>,
    pub name_in_header: Option<Vec<u8>>,
}

pub fn entry(name: impl AsRef<[u8]>, content: &[u8]) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        content: content.to_vec(),
        mode: 0o100_644,
        deflated: true,
        claimed_size: None,
        claimed_crc: None,
        flags: 0,
        method: None,
        name_in_header: None,
    }
}

pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let packed = if entry.deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(&entry.content).unwrap();
            encoder.finish().unwrap()
        } else {
            entry.content.clone()
        };
        let mut crc = Crc::new();
        crc.update(&entry.content);
        let mut common = Vec::new();
        for field in [
            20,
            entry.flags,
            entry.method.unwrap_or(if entry.deflated { 8 } else { 0 }),
            0,
            0,
        ] {
            common.extend(field.to_le_bytes());
        }
        common.extend(entry.claimed_crc.unwrap_or(crc.sum()).to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend(
            entry
                .claimed_size
                .unwrap_or(entry.content.len() as u32)
                .to_le_bytes(),
        );
        common.extend((entry.name.len() as u16).to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        let offset = zip.len() as u32;
        zip.extend(b"PK\x03\x04");
        zip.extend(&common);
        zip.extend(entry.name_in_header.as_ref().unwrap_or(&entry.name));
        zip.extend(packed);
        directory.extend(b"PK\x01\x02");
        directory.extend([20, 3]);
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((entry.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(&entry.name);
    }
    let start = zip.len() as u32;
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend((entries.len() as u16).to_le_bytes());
    zip.extend((entries.len() as u16).to_le_bytes());
    zip.extend((directory.len() as u32).to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0; 2]);
    zip
}

/// A tar entry with any name, which the library's own writer would refuse.
fn tar_entry(tar: &mut Vec<u8>, kind: tar::EntryType, name: &[u8], link: &[u8], content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.extend(header.as_bytes());
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// Kind, name, link and content.
pub type Member<'a> = (tar::EntryType, &'a [u8], &'a [u8], &'a [u8]);

pub fn tar(entries: &[Member<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (kind, name, link, content) in entries {
        tar_entry(&mut tar, *kind, name, link, content);
    }
    tar.extend([0; 1024]);
    tar
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
