//! Files of boxes.

use cnn_data::{AnnotatedObject, Content, Dataset, Error, Image};

/// A grey photo as a PNG file.
pub(crate) fn png(height: usize, width: usize) -> Vec<u8> {
    let bytes = vec![90; height * width];
    let image = Image::from_pixels(height, width, 1, bytes).unwrap();
    image.to_png().unwrap()
}

/// An XML file of Pascal VOC's.
pub(crate) fn voc([width, height]: [usize; 2], objects: &[String]) -> Vec<u8> {
    let size = format!("<size><width>{width}</width><height>{height}</height></size>");
    format!(
        "<annotation>\n{size}\n{}\n</annotation>",
        objects.join("\n")
    )
    .into_bytes()
}

/// An object of such a file, with its edges in pixels from 1.
pub(crate) fn voc_object(name: &str, edges: [i64; 4], difficult: u8) -> String {
    let [x_min, y_min, x_max, y_max] = edges;
    format!(
        "<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x_min}</xmin>\
         <ymin>{y_min}</ymin><xmax>{x_max}</xmax><ymax>{y_max}</ymax></bndbox></object>"
    )
}

/// Photos without content, with objects that a test says.
pub(crate) struct Boxes {
    classes: Vec<String>,
    samples: Vec<([usize; 2], Vec<AnnotatedObject>)>,
}

impl Boxes {
    /// Height, width and objects of each photo.
    pub(crate) fn new(classes: &[&str], samples: Vec<([usize; 2], Vec<AnnotatedObject>)>) -> Self {
        Self {
            classes: classes.iter().map(|name| (*name).to_owned()).collect(),
            samples,
        }
    }
}

impl Dataset for Boxes {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, _index: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let [height, width] = self.samples[index].0;
        let bytes = vec![7; height * width];
        Ok(Content::Pixels(Image::from_pixels(
            height, width, 1, bytes,
        )?))
    }

    fn has_boxes(&self) -> bool {
        true
    }

    fn objects(&self, index: usize) -> Result<Vec<AnnotatedObject>, Error> {
        Ok(self.samples[index].1.clone())
    }
}
