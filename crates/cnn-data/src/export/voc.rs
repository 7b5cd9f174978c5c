//! Pascal VOC's folders and XML files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::export_boxes::{Photo, make_folder, write_file};
use super::lost::Lost;
use crate::{Error, Split};

pub(super) struct Writer<'a> {
    pub(super) photos: PathBuf,
    annotations: PathBuf,
    /// The list of the split, and the names for it.
    list: Option<PathBuf>,
    listed: String,
    classes: &'a [String],
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        folder: &Path,
        split: Option<Split>,
        classes: &'a [String],
    ) -> Result<Self, Error> {
        let lists = folder.join("ImageSets/Main");
        let writer = Self {
            photos: folder.join("JPEGImages"),
            annotations: folder.join("Annotations"),
            list: split.map(|split| lists.join(format!("{split}.txt"))),
            listed: String::new(),
            classes,
        };
        make_folder(&writer.photos)?;
        make_folder(&writer.annotations)?;
        if split.is_some() {
            make_folder(&lists)?;
        }
        Ok(writer)
    }

    pub(super) fn add(&mut self, photo: &Photo, lost: &mut Lost) -> Result<usize, Error> {
        let [height, width] = photo.size;
        let mut xml = format!(
            "<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>{}</filename>\n\t<size>\n\
             \t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>3</depth>\n\t</size>\n\
             \t<segmented>0</segmented>\n",
            escaped(&photo.name.name)
        );
        for object in &photo.objects {
            lost.crowds += usize::from(object.is_crowd);
            lost.areas += usize::from(object.area != object.xywh[2] * object.xywh[3]);
            let class = self.classes.get(object.class).map_or("", String::as_str);
            let [x_min, y_min, x_max, y_max] = edges_from_one(object.xywh);
            let difficult = u8::from(!object.is_plain());
            // Writing to a text cannot fail.
            let _ = write!(
                xml,
                "\t<object>\n\t\t<name>{}</name>\n\t\t<pose>Unspecified</pose>\n\
                 \t\t<truncated>0</truncated>\n\t\t<difficult>{difficult}</difficult>\n\t\t<bndbox>\n\
                 \t\t\t<xmin>{x_min}</xmin>\n\t\t\t<ymin>{y_min}</ymin>\n\
                 \t\t\t<xmax>{x_max}</xmax>\n\t\t\t<ymax>{y_max}</ymax>\n\t\t</bndbox>\n\t</object>\n",
                escaped(class)
            );
        }
        xml.push_str("</annotation>\n");
        let file = self.annotations.join(format!("{}.xml", photo.name.stem));
        write_file(&file, xml.as_bytes())?;
        self.listed.push_str(&photo.name.stem);
        self.listed.push('\n');
        Ok(photo.objects.len())
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        match self.list {
            Some(list) => write_file(&list, self.listed.as_bytes()),
            None => Ok(()),
        }
    }
}

/// The edges as VOC counts them, in the fewest digits that are read as the same box.
fn edges_from_one([x, y, width, height]: [f64; 4]) -> [String; 4] {
    [
        fewest_digits(x + 1.0, |edge| edge - 1.0 == x),
        fewest_digits(y + 1.0, |edge| edge - 1.0 == y),
        fewest_digits(x + width, |edge| edge - x == width),
        fewest_digits(y + height, |edge| edge - y == height),
    ]
}

/// The shortest decimal near a value that is as good as it; all digits where none is.
fn fewest_digits(value: f64, is_right: impl Fn(f64) -> bool) -> String {
    let rounded = (0..=17).map(|digits| format!("{value:.digits$}"));
    let mut right = rounded.filter(|text| text.parse().is_ok_and(&is_right));
    right.next().unwrap_or_else(|| value.to_string())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_have_the_digits_that_they_need() {
        let cases = [
            ([0.0, 10.0, 40.0, 10.0], ["1", "11", "40", "20"]),
            ([44.7, 0.25, 10.0, 3.5], ["45.7", "1.25", "54.7", "3.75"]),
            ([12.34 - 1.0, -1.0, 2.0, 5.0], ["12.34", "0", "13.34", "4"]),
        ];
        for (xywh, expected) in cases {
            assert_eq!(edges_from_one(xywh), expected);
        }
    }
}
