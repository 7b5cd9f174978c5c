//! Archives that are what they should be, and archives that mean harm.
#![allow(clippy::unwrap_used, clippy::panic)]

mod archives;

use std::fs;
use std::path::Path;

use archives::{Entry, Member, entry, gzip, tar, zip};
use cnn_core::Key;
use cnn_hub::{ArchiveLimits, Error, Event, Silent, Unpacked, unpack};

/// What unpacking gives, with the directory that holds archive and target, in which nothing else may
/// be.
fn unpacked(
    archive: &[u8],
    limits: &ArchiveLimits,
) -> (Result<Unpacked, Error>, tempfile::TempDir) {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("x/y");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("archive"), archive).unwrap();
    let result = unpack(
        &inner.join("archive"),
        &inner.join("target"),
        limits,
        &mut Silent,
    );
    let names = |directory: &Path| -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let expected: &[&str] = if result.is_ok() {
        &["archive", "target"]
    } else {
        &["archive"]
    };
    assert_eq!(names(&inner), expected);
    assert_eq!(
        (names(root.path()), names(&root.path().join("x"))),
        (vec!["x".to_string()], vec!["y".to_string()])
    );
    (result, root)
}

fn error(archive: &[u8]) -> Error {
    unpacked(archive, &ArchiveLimits::default()).0.unwrap_err()
}

use tar::EntryType::{
    Block, Char, Directory, Fifo, GNULongName, GNUSparse, Link, Regular, Symlink, XHeader,
};

#[test]
fn files_of_all_kinds_of_archives_arrive() {
    let large = vec![3; 300_000];
    let zip = zip(&[
        entry("photos/", b""),
        entry("photos/cat/a.jpg", &large),
        Entry {
            deflated: false,
            ..entry("photos/dog/b.jpg", b"stored")
        },
        Entry {
            mode: 0,
            ..entry("./empty", b"")
        },
    ]);
    let tar = tar(&[
        (Directory, b"photos/", b"", b""),
        (Regular, b"photos/cat/a.jpg", b"", &large),
        (Regular, b"./photos/dog/b.jpg", b"", b"stored"),
        (Regular, b"empty", b"", b""),
    ]);
    let with_prefix = [b"#!/bin/sh\n".to_vec(), zip.clone()].concat();
    assert!(
        error(&with_prefix)
            .to_string()
            .contains("neither zip, tar nor tar.gz")
    );
    for archive in [
        zip,
        tar.clone(),
        gzip(&tar),
        [gzip(&tar[..2000]), gzip(&tar[2000..])].concat(),
    ] {
        let (result, root) = unpacked(&archive, &ArchiveLimits::default());
        let result = result.unwrap();
        assert_eq!((result.files, result.bytes), (3, 300_006));
        let target = root.path().join("x/y/target");
        assert_eq!(fs::read(target.join("photos/cat/a.jpg")).unwrap(), large);
        assert_eq!(
            fs::read(target.join("photos/dog/b.jpg")).unwrap(),
            b"stored"
        );
        assert_eq!(fs::read(target.join("empty")).unwrap(), b"");
    }
}

#[test]
fn long_names_arrive() {
    let name = format!("{}/{}.jpg", "d".repeat(100), "f".repeat(100));
    let pax = format!("{} path={name}\n", name.len() + 10);
    for (kind, record) in [(GNULongName, format!("{name}\0")), (XHeader, pax)] {
        let tar = tar(&[
            (kind, b"record", b"", record.as_bytes()),
            (Regular, b"short", b"", b"x"),
        ]);
        let (result, root) = unpacked(&tar, &ArchiveLimits::default());
        assert_eq!(result.unwrap().files, 1, "{kind:?}");
        assert_eq!(
            fs::read(root.path().join("x/y/target").join(&name)).unwrap(),
            b"x"
        );
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_are_kept() {
    use std::os::unix::ffi::OsStrExt;
    let name = b"caf\xe9/1.jpg";
    for archive in [
        zip(&[entry(name, b"x")]),
        tar(&[(Regular, name, b"", b"x")]),
    ] {
        let (result, root) = unpacked(&archive, &ArchiveLimits::default());
        assert_eq!(result.unwrap().files, 1);
        let path = root
            .path()
            .join("x/y/target")
            .join(std::ffi::OsStr::from_bytes(name));
        assert_eq!(fs::read(path).unwrap(), b"x");
    }
}

#[test]
fn links_within_become_files_and_no_other_link_does() {
    let within = tar(&[
        (Symlink, b"a/first.txt", b"../b/real.txt", b""),
        (Regular, b"b/real.txt", b"", b"real"),
        (Link, b"c/second.txt", b"b/real.txt", b""),
    ]);
    let zipped = zip(&[
        Entry {
            mode: 0o120_777,
            ..entry("a/first.txt", b"../b/real.txt")
        },
        entry("b/real.txt", b"real"),
    ]);
    for (archive, files) in [(within, 3), (zipped, 2)] {
        let (result, root) = unpacked(&archive, &ArchiveLimits::default());
        assert_eq!(result.unwrap().files, files);
        let path = root.path().join("x/y/target/a/first.txt");
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(fs::read(path).unwrap(), b"real");
    }
    for target in [
        "/etc/passwd",
        "../../../../etc/passwd",
        "../../archive",
        "..",
        "a\\..\\..\\x",
    ] {
        for kind in [Symlink, Link] {
            let error = error(&tar(&[
                (Regular, b"r", b"", b""),
                (kind, b"a/l", target.as_bytes(), b""),
            ]));
            assert!(
                matches!(error, Error::UnsafeName { .. } | Error::Archive { .. }),
                "{target}: {error}"
            );
        }
        let link = Entry {
            mode: 0o120_777,
            ..entry("a/l", target.as_bytes())
        };
        let error = error(&zip(&[entry("r", b""), link]));
        assert!(
            matches!(error, Error::UnsafeName { .. } | Error::Archive { .. }),
            "{target}: {error}"
        );
    }
    // What is written after a link does not go through it.
    for target in [b"../../..".as_slice(), b"/tmp", b"d"] {
        let error = error(&tar(&[
            (Directory, b"d/", b"", b""),
            (Symlink, b"l", target, b""),
            (Regular, b"l/evil", b"", b"evil"),
        ]));
        assert!(
            matches!(error, Error::UnsafeName { .. } | Error::Archive { .. }),
            "{error}"
        );
    }
    // Links to links, to themselves, to directories and to nothing.
    for target in [b"l".as_slice(), b"m", b"d", b"nothing"] {
        let error = error(&tar(&[
            (Directory, b"d/", b"", b""),
            (Regular, b"r", b"", b""),
            (Symlink, b"l", target, b""),
            (Symlink, b"m", b"l", b""),
        ]));
        assert!(matches!(error, Error::Archive { .. }), "{error}");
    }
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in [
        "../evil",
        "/evil",
        "a/../../evil",
        "..",
        "a/..",
        "..\\evil",
        "C:\\evil",
        "C:evil",
        "a\\b",
    ] {
        for archive in [
            zip(&[entry("good", b"x"), entry(name, b"evil")]),
            tar(&[
                (Regular, b"good", b"", b"x"),
                (Regular, name.as_bytes(), b"", b"evil"),
            ]),
            gzip(&tar(&[(Directory, name.as_bytes(), b"", b"")])),
            tar(&[
                (GNULongName, b"n", b"", name.as_bytes()),
                (Regular, b"good", b"", b"evil"),
            ]),
        ] {
            let error = error(&archive);
            assert!(matches!(error, Error::UnsafeName { .. }), "{name}: {error}");
        }
    }
}

#[test]
fn special_doubled_and_encrypted_entries_are_refused() {
    for kind in [Char, Block, Fifo] {
        let error = error(&tar(&[
            (Regular, b"good", b"", b"x"),
            (kind, b"special", b"", b""),
        ]));
        assert!(
            matches!(&error, Error::Archive { reason, .. } if reason.contains("special")),
            "{error}"
        );
    }
    let bad = [
        ("damaged", tar(&[(GNUSparse, b"a", b"", b"")])),
        (
            "is a device",
            zip(&[Entry {
                mode: 0o020_644,
                ..entry("null", b"")
            }]),
        ),
        ("twice", zip(&[entry("a", b"1"), entry("a", b"2")])),
        ("twice", zip(&[entry("a", b"1"), entry("./a", b"2")])),
        (
            "twice",
            tar(&[(Regular, b"a", b"", b"1"), (Regular, b"a", b"", b"2")]),
        ),
        (
            "twice",
            tar(&[
                (Regular, b"a", b"", b"1"),
                (Symlink, b"b", b"a", b""),
                (Link, b"b", b"a", b""),
            ]),
        ),
        (
            "needs a directory",
            zip(&[entry("a", b"1"), entry("a/b", b"2")]),
        ),
        (
            "needs a directory",
            tar(&[(Regular, b"a", b"", b"1"), (Directory, b"a", b"", b"")]),
        ),
        (
            "encrypted",
            zip(&[Entry {
                flags: 1,
                ..entry("a", b"1")
            }]),
        ),
        (
            "method 12",
            zip(&[Entry {
                method: Some(12),
                ..entry("a", b"1")
            }]),
        ),
        (
            "another name",
            zip(&[Entry {
                name_in_header: Some(b"b".to_vec()),
                ..entry("a", b"1")
            }]),
        ),
        (
            "checksum",
            zip(&[Entry {
                claimed_crc: Some(7),
                ..entry("a", b"1")
            }]),
        ),
        (
            "more bytes",
            zip(&[Entry {
                claimed_size: Some(1),
                ..entry("a", b"12")
            }]),
        ),
        (
            "damaged",
            zip(&[Entry {
                claimed_size: Some(u32::MAX - 1),
                ..entry("a", b"12")
            }]),
        ),
        ("no files", zip(&[entry("a/", b"")])),
        ("no files", tar(&[(Directory, b"a", b"", b"")])),
        (
            "neither zip",
            b"<!doctype html><title>Sign in</title>".to_vec(),
        ),
        ("neither zip", Vec::new()),
        ("damaged", gzip(b"no tar")),
    ];
    for (expected, archive) in bad {
        let text = error(&archive).to_string();
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn what_an_archive_claims_takes_no_memory_and_what_it_holds_is_bounded() {
    // Zeros a thousand times as many as the bytes of the archive.
    let zeros = vec![0; 80 << 20];
    let tarred = tar(&[(Regular, b"zeros", b"", &zeros)]);
    let bombs = [zip(&[entry("zeros", &zeros)]), gzip(&tarred)];
    for bomb in &bombs {
        let text = error(bomb).to_string();
        assert!(text.contains("more than 67108864 bytes"), "{text}");
        let limits = ArchiveLimits {
            ratio: 2000,
            ..Default::default()
        };
        assert_eq!(unpacked(bomb, &limits).0.unwrap().bytes, 80 << 20);
        let limits = ArchiveLimits {
            bytes: 1000,
            ..Default::default()
        };
        assert!(unpacked(bomb, &limits).0.is_err());
    }
    // Sizes of exabytes, in a name, in an entry, and in a directory.
    let mut huge = tar(&[(GNULongName, b"n", b"", b""), (Regular, b"a", b"", b"x")]);
    for at in [0, 512] {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&huge[at..at + 512]);
        header.set_size(1 << 60);
        header.set_cksum();
        huge[at..at + 512].copy_from_slice(header.as_bytes());
        assert!(matches!(error(&huge[at..]), Error::Archive { .. }));
    }
    let mut directory = zip(&[entry("a", b"x")]);
    let end = directory.len() - 22;
    directory[end + 8..end + 20].fill(0xff);
    assert!(matches!(error(&directory), Error::Archive { .. }));
    let many: Vec<Entry> = (0..11)
        .map(|number| entry(format!("{number}"), b""))
        .collect();
    let limits = ArchiveLimits {
        entries: 10,
        ..Default::default()
    };
    let text = unpacked(&zip(&many), &limits).0.unwrap_err().to_string();
    assert!(text.contains("11 entries, at most 10"), "{text}");
    let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    let many: Vec<_> = names
        .iter()
        .map(|name| (Directory, name.as_bytes(), b"".as_slice(), b"".as_slice()))
        .collect();
    let text = unpacked(&tar(&many), &limits).0.unwrap_err().to_string();
    assert!(text.contains("more than 10 entries"), "{text}");
}

#[test]
fn a_target_that_exists_stays_as_it_is_and_leftovers_are_removed() {
    let root = tempfile::tempdir().unwrap();
    let archive = root.path().join("a.zip");
    fs::write(&archive, zip(&[entry("a", b"new")])).unwrap();
    let target = root.path().join("data");
    let leftover = root.path().join(".data.incomplete/deep");
    fs::create_dir_all(&leftover).unwrap();
    let mut told = 0;
    let mut progress = |event: &Event<'_>| {
        told += u32::from(matches!(
            event,
            Event::Unpacked {
                files: 1,
                bytes: 3,
                ..
            }
        ))
    };
    unpack(&archive, &target, &ArchiveLimits::default(), &mut progress).unwrap();
    assert_eq!(told, 1);
    fs::write(target.join("a"), "mine").unwrap();
    let error = unpack(&archive, &target, &ArchiveLimits::default(), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Argument(_)), "{error}");
    assert_eq!(fs::read(target.join("a")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
}

/// Bytes changed, lost and added anywhere: an error or a directory below the target, never a panic.
#[test]
fn a_hundred_thousand_mutated_archives_do_no_harm() {
    let members: [Member<'_>; 4] = [
        (GNULongName, b"l", b"", b"a/long\0"),
        (Regular, b"short", b"", b"content"),
        (XHeader, b"x", b"", b"12 path=b/c\n"),
        (Symlink, b"b/c", b"../a/long", b""),
    ];
    let tarred = tar(&members);
    let zipped = zip(&[
        entry("a/b", b"content content content"),
        Entry {
            mode: 0o120_777,
            deflated: false,
            ..entry("c", b"a/b")
        },
    ]);
    let seeds = [zipped, tarred.clone(), gzip(&tarred)];
    // In memory where the system has such a place: there are a million files.
    let root = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let inner = root.path().join("x");
    fs::create_dir(&inner).unwrap();
    let archive = inner.join("archive");
    let target = inner.join("target");
    let limits = ArchiveLimits {
        entries: 20,
        bytes: 1 << 20,
        ratio: 1000,
    };
    let mut rng = Key::new(14).stream("archives").rng();
    let mut unpacked = 0;
    for round in 0..100_000 {
        let mut bytes = seeds[round % 3].clone();
        for _ in 0..=rng.below(3) {
            let at = rng.below(bytes.len() as u64) as usize;
            // Never nothing at all, so that there is a place for the next one.
            match rng.below(8) {
                0 => bytes.insert(at, rng.below(256) as u8),
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at.max(1)),
                3 => bytes[at] = b"./\\\0\xff"[rng.below(5) as usize],
                _ => bytes[at] ^= 1 << rng.below(8),
            }
            // A header is read at all only with its checksum.
            if round % 3 == 1 && at / 512 * 512 + 512 <= bytes.len() && rng.bernoulli(0.7) {
                let block = at / 512 * 512..at / 512 * 512 + 512;
                let mut header = tar::Header::new_gnu();
                header.as_mut_bytes().copy_from_slice(&bytes[block.clone()]);
                header.set_cksum();
                bytes[block].copy_from_slice(header.as_bytes());
            }
        }
        fs::write(&archive, &bytes).unwrap();
        if unpack(&archive, &target, &limits, &mut Silent).is_ok() {
            unpacked += 1;
            fs::remove_dir_all(&target).unwrap();
        }
    }
    assert!(unpacked > 5000, "{unpacked}");
    let left: Vec<_> = fs::read_dir(&inner)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["archive"]);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}
