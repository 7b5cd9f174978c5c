//! The messages of the hub's API that a push sends and gets.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use serde::{Deserialize, Serialize};

use super::request::Visibility;
use crate::RepoKind;
use crate::net::header;

/// `POST /api/repos/create`.
#[derive(Serialize)]
pub(super) struct Create<'a> {
    name: &'a str,
    organization: &'a str,
    visibility: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a> Create<'a> {
    pub(super) fn new(owner: &'a str, name: &'a str, kind: RepoKind, seen: Visibility) -> Self {
        Self {
            name,
            organization: owner,
            visibility: seen.name(),
            kind: kind.singular(),
        }
    }
}

/// `POST /api/{kind}/{id}/preupload/{revision}`.
#[derive(Serialize)]
pub(super) struct Preupload<'a> {
    pub(super) files: Vec<PreuploadFile<'a>>,
    #[serde(rename = "gitIgnore", skip_serializing_if = "Option::is_none")]
    pub(super) git_ignore: Option<&'a str>,
}

#[derive(Serialize)]
pub(super) struct PreuploadFile<'a> {
    pub(super) path: &'a str,
    /// The first bytes, by which the hub tells text, in base64.
    pub(super) sample: String,
    pub(super) size: u64,
}

pub(super) fn sample(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// How the hub wants a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// Within the commit.
    Regular,
    /// In the storage for large files.
    Lfs,
}

/// What the hub answers about one file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wish {
    path: String,
    pub(super) upload_mode: Mode,
    #[serde(default)]
    pub(super) should_ignore: bool,
    /// What names the content that it has at this place: git's hash of it, or for large files the
    /// SHA-256.
    pub(super) oid: Option<String>,
}

/// The answer about these paths, in their order; the reason where it makes no sense.
pub(super) fn read_preupload(body: &[u8], paths: &[&str]) -> Result<Vec<Wish>, String> {
    #[derive(Deserialize)]
    struct Answer {
        files: Vec<Wish>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let files = answer.files.into_iter();
    let mut wishes: BTreeMap<String, Wish> = files.map(|wish| (wish.path.clone(), wish)).collect();
    let wishes = paths.iter().map(|path| {
        let wish = wishes.remove(*path);
        wish.ok_or_else(|| format!("it says nothing about {path:?}"))
    });
    wishes.collect()
}

/// A large file by its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Object {
    /// The SHA-256 in hexadecimal digits.
    pub(super) oid: String,
    pub(super) size: u64,
}

/// `POST /{page}.git/info/lfs/objects/batch`.
#[derive(Serialize)]
pub(super) struct Batch<'a> {
    operation: &'static str,
    /// Xet, which the hub has as well, is not among what is spoken here.
    transfers: [&'static str; 2],
    objects: &'a [Object],
    hash_algo: &'static str,
    #[serde(rename = "ref")]
    branch: Branch<'a>,
}

#[derive(Serialize)]
struct Branch<'a> {
    name: &'a str,
}

impl<'a> Batch<'a> {
    pub(super) fn new(objects: &'a [Object], branch: &'a str) -> Self {
        Self {
            operation: "upload",
            transfers: ["basic", "multipart"],
            objects,
            hash_algo: "sha256",
            branch: Branch { name: branch },
        }
    }
}

/// Where a large file goes.
#[derive(Debug, Deserialize)]
pub(super) struct Actions {
    pub(super) upload: Option<Action>,
    /// What is told once the file is there.
    pub(super) verify: Option<Action>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Action {
    pub(super) href: String,
    #[serde(default)]
    header: Option<BTreeMap<String, serde_json::Value>>,
}

/// The addresses of a file's parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The size of each part but the last.
    pub(super) size: u64,
    pub(super) urls: Vec<String>,
}

/// The name of the header that is none: it tells that the file goes in parts.
const CHUNK_SIZE: &str = "chunk_size";

impl Action {
    /// The headers that the request must have.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.header.iter().flatten();
        all.filter_map(|(name, value)| {
            let is_header = name != CHUNK_SIZE && !is_number(name);
            Some((name.as_str(), value.as_str().filter(|_| is_header)?))
        })
    }

    /// Whether and how the file of this size goes in parts; the reason where that makes no sense.
    pub(super) fn parts(&self, bytes: u64) -> Result<Option<Parts>, String> {
        let header = self.header.as_ref();
        let Some(size) = header.and_then(|header| header.get(CHUNK_SIZE)) else {
            return Ok(None);
        };
        let number = size.as_u64().or_else(|| size.as_str()?.parse().ok());
        let size = number.filter(|size| *size > 0);
        let size = size.ok_or("the size of its parts is no number of bytes")?;
        let numbered = header.into_iter().flatten().filter_map(|(name, url)| {
            let number: u64 = name.parse().ok().filter(|_| is_number(name))?;
            Some((number, url.as_str()?.to_string()))
        });
        let urls: BTreeMap<u64, String> = numbered.collect();
        let count = bytes.div_ceil(size);
        if !urls.keys().copied().eq(1..=count) {
            let found = urls.len();
            return Err(format!(
                "it has addresses for {found} parts of {size} bytes, of a file of {bytes}"
            ));
        }
        Ok(Some(Parts {
            size,
            urls: urls.into_values().collect(),
        }))
    }
}

fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|digit| digit.is_ascii_digit())
}

/// What the hub answers about one large file.
#[derive(Debug)]
pub(super) enum Storage {
    /// The content is there.
    Present,
    Wanted(Action, Option<Action>),
    Refused {
        code: u16,
        message: String,
    },
}

/// The answer about these objects, in their order; the reason where it makes no sense.
pub(super) fn read_batch(body: &[u8], objects: &[Object]) -> Result<Vec<Storage>, String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        transfer: Option<String>,
        objects: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        oid: String,
        actions: Option<Actions>,
        error: Option<Refusal>,
    }
    #[derive(Deserialize)]
    struct Refusal {
        code: u16,
        #[serde(default)]
        message: String,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match answer.transfer.as_deref() {
        None | Some("basic" | "multipart") => (),
        Some(other) => {
            return Err(format!(
                "it takes large files by {other:?} alone, which is not spoken here: push them with \
                 `hf upload` of Python's huggingface_hub"
            ));
        }
    }
    let items = answer.objects.into_iter();
    let mut items: BTreeMap<String, Item> = items.map(|item| (item.oid.clone(), item)).collect();
    let storages = objects.iter().map(|object| {
        let item = items.remove(&object.oid);
        let item = item.ok_or_else(|| format!("it says nothing about {}", object.oid))?;
        Ok(match (item.error, item.actions) {
            (Some(Refusal { code, message }), _) => Storage::Refused { code, message },
            (None, Some(actions)) => match actions.upload {
                Some(upload) => Storage::Wanted(upload, actions.verify),
                None => Storage::Present,
            },
            (None, None) => Storage::Present,
        })
    });
    storages.collect()
}

/// What ends an upload in parts.
#[derive(Serialize)]
pub(super) struct Complete<'a> {
    pub(super) oid: &'a str,
    pub(super) parts: Vec<Part>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part {
    pub(super) part_number: u64,
    pub(super) etag: String,
}

/// A line of a commit.
#[derive(Serialize)]
#[serde(tag = "key", content = "value", rename_all = "camelCase")]
pub(super) enum Line<'a> {
    Header {
        summary: &'a str,
        description: &'a str,
    },
    LfsFile {
        path: &'a str,
        algo: &'static str,
        oid: &'a str,
        size: u64,
    },
}

pub(super) fn write_line(mut writer: impl Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut writer, line)?;
    writer.write_all(b"\n")
}

/// The line of a regular file, whose content goes by piece by piece.
pub(super) fn write_file(
    mut writer: impl Write,
    path: &str,
    content: &mut impl io::Read,
) -> io::Result<()> {
    writer.write_all(br#"{"key":"file","value":{"content":""#)?;
    let mut encoder = EncoderWriter::new(&mut writer, &STANDARD);
    io::copy(content, &mut encoder)?;
    encoder.finish()?;
    drop(encoder);
    writer.write_all(br#"","path":"#)?;
    serde_json::to_writer(&mut writer, path)?;
    writer.write_all(b",\"encoding\":\"base64\"}}\n")
}

/// The commit that the hub made; the reason where it does not say.
pub(super) fn read_commit(body: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        commit_oid: String,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    header::commit(&answer.commit_oid).ok_or_else(|| "it names no commit".to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const OID: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

    const PREUPLOAD: &str = r#"{"files": [{"path": "b", "uploadMode": "lfs", "shouldIgnore": false, "oid": null},
        {"path": "a", "uploadMode": "regular", "oid": "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"}]}"#;

    fn batch() -> String {
        format!(
            r#"{{"transfer": "multipart", "objects": [{{"oid": "{OID}", "size": 25, "actions": {{
            "upload": {{"href": "https://a.test/c", "header": {{"chunk_size": "10", "1": "https://a.test/1",
            "3": "https://a.test/3", "02": "https://a.test/2", "x-a": "b", "x-n": 7}}}},
            "verify": {{"href": "https://a.test/v"}}}}}}]}}"#
        )
    }

    fn object() -> [Object; 1] {
        [Object {
            oid: OID.to_string(),
            size: 25,
        }]
    }

    #[test]
    fn what_the_hub_wants_is_read_in_our_order() {
        let wishes = read_preupload(PREUPLOAD.as_bytes(), &["a", "b"]).unwrap();
        let modes: Vec<Mode> = wishes.iter().map(|wish| wish.upload_mode).collect();
        assert_eq!(modes, [Mode::Regular, Mode::Lfs]);
        assert_eq!(wishes[0].oid.as_deref().map(str::len), Some(40));
        let error = read_preupload(PREUPLOAD.as_bytes(), &["a", "c"]).unwrap_err();
        assert!(error.contains("\"c\""), "{error}");
        let other = PREUPLOAD.replace("lfs", "xet");
        assert!(read_preupload(other.as_bytes(), &["a"]).is_err());
    }

    #[test]
    fn parts_are_all_there_and_in_order() {
        let storages = read_batch(batch().as_bytes(), &object()).unwrap();
        let Storage::Wanted(upload, Some(verify)) = &storages[0] else {
            unreachable!("{storages:?}");
        };
        assert_eq!(verify.href, "https://a.test/v");
        assert_eq!(upload.headers().collect::<Vec<_>>(), [("x-a", "b")]);
        let parts = upload.parts(25).unwrap().unwrap();
        let urls = [1, 2, 3].map(|part| format!("https://a.test/{part}"));
        assert_eq!((parts.size, parts.urls), (10, urls.to_vec()));
        for bytes in [20, 31, 0, u64::MAX] {
            assert!(upload.parts(bytes).is_err(), "{bytes}");
        }
        for size in ["0", "-1", "ten", "18446744073709551616"] {
            let batch = batch().replace("\"10\"", &format!("\"{size}\""));
            let storages = read_batch(batch.as_bytes(), &object()).unwrap();
            let Storage::Wanted(upload, _) = &storages[0] else {
                unreachable!("{storages:?}");
            };
            assert!(upload.parts(25).is_err(), "{size}");
        }
    }

    #[test]
    fn objects_are_there_or_refused() {
        let read = |item: &str| {
            let batch = format!(r#"{{"objects": [{{"oid": "{OID}", "size": 25{item}}}]}}"#);
            read_batch(batch.as_bytes(), &object()).unwrap().remove(0)
        };
        assert!(matches!(read(""), Storage::Present));
        assert!(matches!(read(r#", "actions": {}"#), Storage::Present));
        let refused = read(r#", "error": {"code": 422, "message": "too large"}"#);
        assert!(
            matches!(&refused, Storage::Refused { code: 422, message } if message == "too large"),
            "{refused:?}"
        );
    }

    #[test]
    fn lines_of_files_are_json_of_any_name_and_content() {
        for (path, content) in [("a", ""), ("\"\u{1}\\ü", "abc"), ("b", "abcd")] {
            let mut line = Vec::new();
            write_file(&mut line, path, &mut content.as_bytes()).unwrap();
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(line["value"]["path"], path);
            let decoded = STANDARD.decode(line["value"]["content"].as_str().unwrap());
            assert_eq!(decoded.unwrap(), content.as_bytes());
        }
    }

    #[test]
    fn a_hundred_thousand_mutations_of_answers_do_no_harm() {
        let seeds = [
            PREUPLOAD.to_string(),
            batch(),
            r#"{"commitOid": "5c5a9e6b2c1de7aa2bb1ea9a1a2b3c4d5e6f7089"}"#.to_string(),
        ];
        let mut rng = cnn_core::Key::new(14).stream("push").rng();
        let mut accepted = [0; 3];
        for round in 0..100_000 {
            let kind = round % seeds.len();
            let mut bytes = seeds[kind].as_bytes().to_vec();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes[at] = rng.below(256) as u8,
                    1 => bytes.insert(at, b"{}[]\",:0\\"[rng.below(9) as usize]),
                    _ => drop(bytes.remove(at)),
                }
            }
            let is_read = match kind {
                0 => read_preupload(&bytes, &["a", "b"]).is_ok_and(|wishes| wishes.len() == 2),
                1 => read_batch(&bytes, &object()).is_ok_and(|storages| {
                    if let Storage::Wanted(upload, _) = &storages[0]
                        && let Ok(Some(parts)) = upload.parts(25)
                    {
                        assert_eq!(parts.urls.len() as u64, 25_u64.div_ceil(parts.size));
                    }
                    storages.len() == 1
                }),
                _ => read_commit(&bytes).is_ok_and(|commit| commit.len() == 40),
            };
            accepted[kind] += u32::from(is_read);
        }
        assert!(accepted.iter().all(|count| *count > 100), "{accepted:?}");
    }
}
