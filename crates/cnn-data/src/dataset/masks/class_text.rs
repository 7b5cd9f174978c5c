//! The forms in which files name the classes of masks.

use super::classes::MaskEntry;

/// The entries of a list in any of the forms that [`MaskClasses::parse`](super::MaskClasses::parse)
/// tells.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<MaskEntry>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("no UTF-8 text at byte {}", error.valid_up_to()))?;
    let lines: Vec<Line<'_>> = text
        .lines()
        .enumerate()
        .map(|(number, text)| Line {
            number: number + 1,
            text: text.trim(),
        })
        .filter(|line| !line.text.is_empty() && !line.text.starts_with('#'))
        .collect();
    match Header::of(&lines) {
        Some(header) => lines[1..].iter().map(|line| header.entry(line)).collect(),
        None => without_header(&lines),
    }
}

struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    fn fields(&self, separator: char) -> Vec<&str> {
        let fields = self.text.split(separator);
        fields
            .map(|field| field.trim().trim_matches('"').trim())
            .collect()
    }
}

/// The columns of a table that says what it holds.
struct Header {
    separator: char,
    name: usize,
    color: [usize; 3],
}

impl Header {
    fn of(lines: &[Line<'_>]) -> Option<Self> {
        let first = lines.first()?;
        [',', ';', '\t'].into_iter().find_map(|separator| {
            let fields = first.fields(separator);
            let find = |names: &[&str]| {
                let is_one =
                    |field: &&str| names.iter().any(|name| field.eq_ignore_ascii_case(name));
                fields.iter().position(is_one)
            };
            Some(Self {
                separator,
                name: find(&[
                    "name",
                    "class",
                    "label",
                    "class_name",
                    "classname",
                    "category",
                ])?,
                color: [
                    find(&["r", "red"])?,
                    find(&["g", "green"])?,
                    find(&["b", "blue"])?,
                ],
            })
        })
    }

    fn entry(&self, line: &Line<'_>) -> Result<MaskEntry, String> {
        let fields = line.fields(self.separator);
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        match (field(self.name), color(self.color.map(field))) {
            (name, Some(color)) if !name.is_empty() => Ok(MaskEntry::new(name, Some(color))),
            _ => Err(not_understood(line, "a name and three numbers up to 255")),
        }
    }
}

/// Reads a line in one of the forms that have colors.
type Form = fn(&Line<'_>) -> Option<MaskEntry>;

/// One of the forms that have no header; the first line decides which.
fn without_header(lines: &[Line<'_>]) -> Result<Vec<MaskEntry>, String> {
    let forms: [(Form, &str); 2] = [
        (label_map, "`name:r,g,b::`"),
        (color_and_name, "a name and three numbers up to 255"),
    ];
    for (entry, expected) in forms {
        if lines.first().and_then(entry).is_some() {
            let entries = lines
                .iter()
                .map(|line| entry(line).ok_or_else(|| not_understood(line, expected)));
            return entries.collect();
        }
    }
    let numbered = (0..)
        .zip(lines)
        .map(|(number, line)| numbered_name(line, number));
    if let Some(entries) = numbered.collect::<Option<Vec<MaskEntry>>>() {
        return Ok(entries);
    }
    let is_name = |text: &str| text.len() <= 100 && text.chars().any(char::is_alphabetic);
    let entries = lines.iter().map(|line| match line.text.trim_matches('"') {
        name if is_name(name) => Ok(MaskEntry::new(name, None)),
        _ => Err(not_understood(line, "a name")),
    });
    entries.collect()
}

/// `name:r,g,b:parts:actions`.
fn label_map(line: &Line<'_>) -> Option<MaskEntry> {
    let mut fields = line.text.split(':');
    let name = fields.next()?.trim();
    let numbers: Vec<&str> = fields.next()?.split(',').map(str::trim).collect();
    let color = color(numbers.try_into().ok()?)?;
    (!name.is_empty()).then(|| MaskEntry::new(name, Some(color)))
}

/// `64 128 64 Animal`, or `Animal 64 128 64`, with spaces, tabs or commas.
fn color_and_name(line: &Line<'_>) -> Option<MaskEntry> {
    let separated = |character: char| character.is_whitespace() || matches!(character, ',' | ';');
    let fields: Vec<&str> = line
        .text
        .split(separated)
        .filter(|field| !field.is_empty())
        .collect();
    let [first, second, third, name @ ..] = fields.as_slice() else {
        return None;
    };
    let (found, name) = match color([first, second, third]) {
        Some(found) => (found, name),
        None => {
            let (name, numbers) = fields.split_last_chunk::<3>()?;
            (color(*numbers)?, name)
        }
    };
    let name = name.join(" ");
    name.chars()
        .any(char::is_alphabetic)
        .then(|| MaskEntry::new(&name, Some(found)))
}

/// `3: car` or `3 car`, where the numbers count from 0.
fn numbered_name(line: &Line<'_>, number: usize) -> Option<MaskEntry> {
    let text = line.text.strip_prefix(&number.to_string())?;
    let name = text.strip_prefix([':', ',', ';', ' ', '\t'])?.trim();
    let is_name = name.chars().any(char::is_alphabetic);
    is_name.then(|| MaskEntry::new(name, None))
}

fn color(fields: [&str; 3]) -> Option<[u8; 3]> {
    let [red, green, blue] = fields.map(|field| field.parse().ok());
    Some([red?, green?, blue?])
}

fn not_understood(Line { number, text }: &Line<'_>, expected: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    format!("line {number} is `{shown}`, expected {expected}")
}
