//! The text of a table: its encoding, its separator and its records.

use csv::{ReaderBuilder, StringRecord};

/// The separators, of which the one is taken that divides the first lines into most columns.
const SEPARATORS: [u8; 3] = [b'\t', b';', b','];

/// How many records are looked at to find the separator and the columns.
pub(super) const LOOKED_AT: usize = 100;

/// The largest table: four times ImageNet's would fit.
pub(super) const MAX_BYTES: u64 = 1 << 28;

/// A table's text, which is read record by record as often as needed.
pub(super) struct Text {
    text: String,
    separator: u8,
    columns: usize,
    /// Whether it is no UTF-8, so that each byte is taken for a character of Latin-1.
    pub(super) is_latin1: bool,
}

impl Text {
    /// Finds encoding and separator.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, String> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err("it is UTF-16 text; save it as UTF-8".to_owned());
        }
        if bytes.contains(&0) {
            return Err("it has zero bytes and is no text".to_owned());
        }
        let bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
        let (text, is_latin1) = match str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (bytes.iter().copied().map(char::from).collect(), true),
        };
        let columns = |separator| columns_of(&text, separator);
        let (separator, columns) = SEPARATORS
            .map(|separator| (separator, columns(separator)))
            .into_iter()
            .max_by_key(|&(_, columns)| columns)
            .filter(|&(_, columns)| columns > 1)
            .ok_or(
                "its first lines have no two columns, expected an image and a label separated by \
                 comma, semicolon or tab",
            )?;
        Ok(Self {
            text,
            separator,
            columns,
            is_latin1,
        })
    }

    /// Calls `visit` with the line and the fields of each record, without spaces around them.
    pub(super) fn visit<E: From<String>>(
        &self,
        mut visit: impl FnMut(usize, &StringRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = reader(&self.text, self.separator);
        let mut record = StringRecord::new();
        while read(&mut reader, &mut record)? {
            let line = line(&record);
            if record.len() != self.columns {
                return Err(E::from(format!(
                    "line {line} has {} columns, expected {} as in the first",
                    record.len(),
                    self.columns
                )));
            }
            visit(line, &record)?;
        }
        Ok(())
    }

    /// The first records.
    pub(super) fn first(&self) -> Result<Vec<StringRecord>, String> {
        let mut reader = reader(&self.text, self.separator);
        let mut first = Vec::new();
        let mut record = StringRecord::new();
        while first.len() < LOOKED_AT && read(&mut reader, &mut record)? {
            if record.len() == self.columns {
                first.push(record.clone());
            }
        }
        Ok(first)
    }
}

/// The columns that all of the first records have; 0 if their numbers differ.
fn columns_of(text: &str, separator: u8) -> usize {
    let mut reader = reader(text, separator);
    let mut record = StringRecord::new();
    let mut columns = None;
    for _ in 0..LOOKED_AT {
        match read(&mut reader, &mut record) {
            Ok(true) if *columns.get_or_insert(record.len()) == record.len() => {}
            Ok(false) => break,
            _ => return 0,
        }
    }
    columns.unwrap_or(0)
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
}

fn read(reader: &mut csv::Reader<&[u8]>, record: &mut StringRecord) -> Result<bool, String> {
    reader
        .read_record(record)
        .map_err(|error| error.to_string())
}

fn line(record: &StringRecord) -> usize {
    record
        .position()
        .map_or(0, |position| position.line() as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn fields(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut fields = Vec::new();
        let visit = |_: usize, record: &StringRecord| {
            fields.push(record.iter().map(str::to_owned).collect());
            Ok::<(), String>(())
        };
        Text::of(bytes).unwrap().visit(visit).unwrap();
        fields
    }

    #[test]
    fn separators_encodings_and_line_ends() {
        let expected = [["image", "label"], ["a,b.jpg", "x;y"], ["ü.jpg", "z"]];
        let cases: [&[u8]; 5] = [
            "image,label\n\"a,b.jpg\",x;y\nü.jpg,z\n".as_bytes(),
            "\u{feff}image,label\r\n\"a,b.jpg\",x;y\r\n\r\nü.jpg,z".as_bytes(),
            "image;label\na,b.jpg;\"x;y\"\nü.jpg; z \n".as_bytes(),
            "image\tlabel\na,b.jpg\tx;y\nü.jpg\tz\n".as_bytes(),
            b"image,label\n\"a,b.jpg\",x;y\n\xfc.jpg,z\n",
        ];
        for case in cases {
            assert_eq!(fields(case), expected, "{}", String::from_utf8_lossy(case));
        }
        assert!(Text::of(cases[4]).unwrap().is_latin1);
    }

    #[test]
    fn what_is_no_table_is_said() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "no two columns"),
            (b"a.jpg\nb.jpg\n", "no two columns"),
            (b"a.jpg,x\nb.jpg\nc;d\n", "no two columns"),
            (b"\xff\xfea\0,\0b\0", "UTF-16"),
            (b"a,\0b", "no text"),
        ];
        for (bytes, expected) in cases {
            let message = Text::of(bytes).err().unwrap();
            assert!(message.contains(expected), "{message}");
        }
        let mut late = "a.jpg,x\n".repeat(LOOKED_AT);
        late.push_str("b.jpg,y,z\n");
        let message = Text::of(late.as_bytes())
            .unwrap()
            .visit(|_, _| Ok::<(), String>(()))
            .unwrap_err();
        assert_eq!(
            message,
            "line 101 has 3 columns, expected 2 as in the first"
        );
    }
}
