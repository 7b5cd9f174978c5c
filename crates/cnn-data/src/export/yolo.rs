//! YOLO's folders, text files and `data.yaml`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::export_boxes::{Photo, make_folder, write_file};
use super::lost::Lost;
use crate::{Error, Split};

/// As far beyond the photo, in pixels, does a box reach without being told that it is cut.
const ROUNDING: f64 = 1e-3;

pub(super) struct Writer {
    pub(super) photos: PathBuf,
    labels: PathBuf,
}

impl Writer {
    pub(super) fn new(folder: &Path, split: Option<Split>) -> Result<Self, Error> {
        let below = |name: &str| match split {
            Some(split) => folder.join(name).join(split.name()),
            None => folder.join(name),
        };
        let writer = Self {
            photos: below("images"),
            labels: below("labels"),
        };
        make_folder(&writer.photos)?;
        make_folder(&writer.labels)?;
        Ok(writer)
    }

    pub(super) fn add(&mut self, photo: &Photo, lost: &mut Lost) -> Result<usize, Error> {
        let [height, width] = photo.size.map(|side| side as f64);
        let mut text = String::new();
        let mut count = 0;
        for object in &photo.objects {
            if !object.is_plain() {
                lost.crowds += usize::from(object.is_crowd);
                lost.difficult += usize::from(!object.is_crowd);
                continue;
            }
            let [x, y, across, down] = object.xywh;
            lost.areas += usize::from(object.area != across * down);
            let ((x, across), x_cut) = within(x, across, width);
            let ((y, down), y_cut) = within(y, down, height);
            if across <= 0.0 || down <= 0.0 {
                continue;
            }
            lost.cut += usize::from(x_cut.max(y_cut) > ROUNDING);
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "{} {} {} {} {}",
                object.class,
                (x + across / 2.0) / width,
                (y + down / 2.0) / height,
                across / width,
                down / height
            );
            count += 1;
        }
        let file = self.labels.join(format!("{}.txt", photo.name.stem));
        write_file(&file, text.as_bytes())?;
        Ok(count)
    }
}

/// The part of a side from `start` on that lies between 0 and `most`, and how much does not.
fn within(start: f64, len: f64, most: f64) -> ((f64, f64), f64) {
    let end = start + len;
    if start >= 0.0 && end <= most {
        return ((start, len), 0.0);
    }
    let inside = (start.max(0.0), end.min(most) - start.max(0.0));
    (inside, len - inside.1)
}

/// The file that names the splits' photos and the classes.
pub(super) fn data_yaml(splits: &[Split], classes: &[String]) -> String {
    let mut yaml = String::new();
    for split in splits {
        yaml.push_str(&format!("{split}: images/{split}\n"));
    }
    yaml.push_str(&format!("nc: {}\nnames:\n", classes.len()));
    for (number, name) in classes.iter().enumerate() {
        // A text of JSON's is one of YAML's.
        let name = serde_json::Value::from(name.as_str());
        yaml.push_str(&format!("  {number}: {name}\n"));
    }
    yaml
}
