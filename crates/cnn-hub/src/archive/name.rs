//! Names of entries, as paths below the target.

use std::path::PathBuf;

/// The components of an entry's name below the target; what is wrong with it where it has none.
///
/// Components that mean the same directory (`./`) are left out. An entry for the target itself has
/// no components.
pub(super) fn components(name: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if name.contains(&0) {
        return Err("it has a zero byte");
    }
    if name.starts_with(b"/") {
        return Err("it is absolute");
    }
    if name.contains(&b'\\') {
        return Err("it has a backslash");
    }
    if name.get(1) == Some(&b':') && name.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err("it begins with a drive");
    }
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&b"..".as_slice()) {
        return Err("it leads out of its directory");
    }
    #[cfg(windows)]
    for part in &parts {
        crate::repo::check_component(std::str::from_utf8(part).map_err(|_| "it is not UTF-8")?)?;
    }
    Ok(parts)
}

/// Where a link leads, from the directory `from` below the target; none where that is outside.
pub(super) fn resolve(from: &[&[u8]], link: &[u8]) -> Option<PathBuf> {
    if link.starts_with(b"/") || link.contains(&0) || link.contains(&b'\\') {
        return None;
    }
    let mut parts = from.to_vec();
    for part in link.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => (),
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(path(&parts))
}

/// Components as a path.
pub(super) fn path(parts: &[&[u8]]) -> PathBuf {
    parts.iter().map(|part| os_name(part)).collect()
}

#[cfg(unix)]
fn os_name(part: &[u8]) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(part.to_vec())
}

#[cfg(not(unix))]
fn os_name(part: &[u8]) -> std::ffi::OsString {
    String::from_utf8_lossy(part).into_owned().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_stay_below_the_target() {
        for (name, expected) in [
            ("a/b.jpg", "a/b.jpg"),
            ("./a//b/", "a/b"),
            ("./", ""),
            ("..a/b..", "..a/b.."),
            ("a:b", "a:b"),
        ] {
            #[cfg(unix)]
            let expected = if name == "a:b" { continue } else { expected };
            assert_eq!(
                path(&components(name.as_bytes()).unwrap()),
                PathBuf::from(expected)
            );
        }
        for name in [
            "/a",
            "../a",
            "a/../../b",
            "a/..",
            "a\\b",
            "C:/a",
            "C:a",
            "a\0b",
            "//a",
        ] {
            assert!(components(name.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn links_stay_below_the_target() {
        let from: [&[u8]; 2] = [b"a", b"b"];
        for (link, expected) in [
            ("c", Some("a/b/c")),
            ("../c", Some("a/c")),
            ("../../c", Some("c")),
            ("../../../c", None),
            ("/c", None),
            ("../../../a/b/c", None),
        ] {
            assert_eq!(
                resolve(&from, link.as_bytes()),
                expected.map(PathBuf::from),
                "{link}"
            );
        }
    }
}
