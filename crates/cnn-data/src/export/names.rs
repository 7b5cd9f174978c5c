//! What photos are called where they are written.

use std::collections::HashSet;
use std::path::Path;

use crate::dataset::is_image_name;
use crate::{Content, Error, FileFormat};

/// Names that are taken already, without their endings and in lower case, as some file systems do
/// not tell upper case from lower case.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

/// A photo's file name.
pub(super) struct FileName {
    pub(super) stem: String,
    pub(super) name: String,
    /// Whether it is not the one that the photo had.
    pub(super) is_new: bool,
}

impl Names {
    /// A name that no other photo has: the photo's own, or else one with a number behind it.
    pub(super) fn of(&mut self, id: &str, content: &Content) -> Result<FileName, Error> {
        let own = Path::new(id);
        let ending = match content {
            Content::Pixels(_) => "png",
            Content::Encoded(bytes) => ending(FileFormat::recognise(bytes)?),
        };
        let text = |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str()).map(sane);
        let is_named = matches!(content, Content::Encoded(_)) && is_image_name(own);
        let (stem, ending) = match (text(own.file_stem()), text(own.extension())) {
            (Some(stem), Some(ending)) if is_named => (stem, ending),
            _ => (
                text(own.file_name()).unwrap_or_else(|| "photo".to_owned()),
                ending.to_owned(),
            ),
        };
        let free = self.free(&stem);
        let name = format!("{free}.{ending}");
        Ok(FileName {
            is_new: own.file_name() != Some(name.as_ref()),
            stem: free,
            name,
        })
    }

    fn free(&mut self, stem: &str) -> String {
        let numbered = (2_usize..).map(|number| format!("{stem}-{number}"));
        let mut names = std::iter::once(stem.to_owned()).chain(numbered);
        let is_free = |name: &String| self.taken.insert(name.to_lowercase());
        names.find(is_free).unwrap_or_default()
    }
}

/// A name without characters that some system or format does not take in one.
fn sane(name: &str) -> String {
    let sane = name.chars().map(|character| match character {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | '#' => '_',
        character if character.is_control() => '_',
        character => character,
    });
    sane.collect::<String>().trim().to_owned()
}

fn ending(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Jpeg => "jpg",
        FileFormat::Png => "png",
        FileFormat::Bmp => "bmp",
        FileFormat::Gif => "gif",
        FileFormat::WebP => "webp",
    }
}

/// Whether a text can be the name of a class in a list of one name a line, and in XML.
pub(super) fn check_class(name: &str) -> Result<(), Error> {
    let is_wrong =
        |character: char| character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}');
    let is_right =
        !name.is_empty() && name.len() <= 200 && name.trim() == name && !name.contains(is_wrong);
    if is_right {
        return Ok(());
    }
    let expected = "names of at most 200 bytes without line breaks or outer spaces";
    Err(Error::argument("classes", format!("{name:?}"), expected))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Image;

    #[test]
    fn names_are_kept_where_they_can_be() {
        let pixels = Content::Pixels(Image::from_pixels(1, 1, 1, vec![0]).unwrap());
        let jpeg = Content::Encoded(vec![0xff, 0xd8, 0xff, 0xe0]);
        let cases = [
            ("d/a b.JPG", &jpeg, "a b.JPG", false),
            ("e/A B.jpeg", &jpeg, "A B-2.jpeg", true),
            ("e/a b-2.jpg", &jpeg, "a b-2-2.jpg", true),
            ("t.parquet#12", &jpeg, "t.parquet_12.jpg", true),
            ("shapes/train#3", &pixels, "train_3.png", true),
            ("d/c.jpg", &pixels, "c.jpg.png", true),
        ];
        let mut names = Names::default();
        for (id, content, expected, is_new) in cases {
            let found = names.of(id, content).unwrap();
            assert_eq!(
                (found.name.as_str(), found.is_new),
                (expected, is_new),
                "{id}"
            );
        }
        assert!(names.of("a.jpg", &Content::Encoded(vec![1, 2])).is_err());
    }
}
