//! Files of boxes.

use cnn_data::Image;

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
