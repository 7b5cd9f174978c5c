//! Paths of the system as text, whatever bytes they have.
//!
//! A path on Unix may have bytes that are no UTF-8. Arguments that are a path or a name are text all
//! the same, since they stand in `args.toml`, reports and messages. So each byte that is no UTF-8
//! becomes a character of Unicode's private use, and [`path`] turns it back.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The character that stands for the byte 0x80; those for greater ones follow it.
const FIRST: u32 = 0xF780;

/// A path or a name as text.
pub(crate) fn text(argument: &OsStr) -> String {
    let mut text = String::new();
    for chunk in argument.as_encoded_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            if byte(letter).is_some() {
                // What already is such a character stands as its bytes, so that none is taken for
                // another.
                let mut bytes = [0; 4];
                text.extend(letter.encode_utf8(&mut bytes).bytes().map(character));
            } else {
                text.push(letter);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(character));
    }
    text
}

/// The path that a text stands for.
#[cfg(unix)]
pub(crate) fn path(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;

    let mut bytes = Vec::new();
    for letter in text.chars() {
        match byte(letter) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// The path that a text stands for; elsewhere, names are text.
#[cfg(not(unix))]
pub(crate) fn path(text: &str) -> PathBuf {
    PathBuf::from(OsString::from(text))
}

/// The text with a sign in place of what is no UTF-8, for people.
pub(crate) fn is_shown_as_sign(letter: char) -> bool {
    byte(letter).is_some()
}

fn character(byte: u8) -> char {
    char::from_u32(FIRST + u32::from(byte) - 0x80).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn byte(letter: char) -> Option<u8> {
    let place = u32::from(letter).checked_sub(FIRST)?;
    u8::try_from(place + 0x80).ok()
}

/// What clap reads an argument with that is a path or a name.
#[derive(Debug, Clone)]
pub(crate) struct PathOrName;

impl clap::builder::TypedValueParser for PathOrName {
    type Value = String;

    fn parse_ref(
        &self,
        _command: &clap::Command,
        _argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        Ok(text(value))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn every_path_comes_back_as_it_was() {
        let paths: [&[u8]; 6] = [
            b"photos",
            "caf\u{e9} \u{1f600}".as_bytes(),
            b"caf\xe9",
            b"\xff\x80/\xc3",
            // Characters that stand for bytes are kept apart from the bytes.
            "\u{f7e9}".as_bytes(),
            "a\u{f780}\u{f7ff}b".as_bytes(),
        ];
        for bytes in paths {
            let text = text(OsStr::from_bytes(bytes));
            assert_eq!(path(&text).as_os_str().as_bytes(), bytes, "{text:?}");
        }
        assert_eq!(text(OsStr::from_bytes(b"caf\xe9")), "caf\u{f7e9}");
    }
}
