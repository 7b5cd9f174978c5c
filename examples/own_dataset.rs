//! A dataset of one's own: photos, labels and boxes from a CSV file.
//!
//! `cargo run -p cnn-examples --example own_dataset` draws photos and their CSV file, reads them in
//! batches, and prints each box in pixels of the network's input and in pixels of the photo:
//!
//! ```text
//! triangle: [0.0, 56.5, 146.1, 224.0] of the input, [18.8, 17.0, 53.0, 56.2] of the photo
//! star: [90.7, 35.2, 224.0, 193.1] of the input, [40.0, 12.0, 71.2, 49.0] of the photo
//! crescent: [0.0, 0.0, 73.6, 163.2] of the input, [18.8, 3.8, 36.0, 42.0] of the photo
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;

use cnn_core::Preprocessing;
use cnn_data::{
    BatchPlan, BoundingBox, Content, Dataset, Error, Sample, Shapes, ShapesConfig, open_image,
};

/// A line of the file: the photo, the number of its class, and the left, upper, right and lower
/// edge of its object.
type Row = (std::path::PathBuf, usize, [f32; 4]);

struct Boxes {
    classes: Vec<String>,
    rows: Vec<Row>,
}

impl Dataset for Boxes {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<usize> {
        let (_, class, _) = self.rows.get(index)?;
        Some(*class)
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let len = self.len();
        let row = self.rows.get(index);
        let (photo, ..) = row.ok_or(Error::NoSuchSample { index, len })?;
        Ok(Content::Pixels(open_image(photo)?))
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let image = self.content(index)?.into_image()?;
        let (_, class, edges) = self.rows[index];
        let boxes = vec![BoundingBox::new(edges, class)];
        Ok(Sample::new(image, Some(class)).with_boxes(boxes))
    }
}

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("boxes.csv");
    let shapes = Shapes::new(ShapesConfig::default().with_size(60, 90))?;
    let mut table = csv::Writer::from_path(&file)?;
    table.write_record(["photo", "class", "x_min", "y_min", "x_max", "y_max"])?;
    for (index, photo) in ["a.png", "b.png", "c.png"].into_iter().enumerate() {
        let sample = shapes.read(index)?;
        let photo = folder.path().join(photo);
        sample.image.write_png(&photo)?;
        let object = sample.boxes[0];
        table.serialize((photo, object.class, object.edges()))?;
    }
    table.flush()?;

    let mut table = csv::Reader::from_path(&file)?;
    let dataset = Boxes {
        classes: shapes.classes().to_vec(),
        rows: table.deserialize().collect::<Result<_, _>>()?,
    };
    let plan = BatchPlan::new(Arc::new(dataset), Preprocessing::default());
    for batch in plan.start()? {
        let batch = batch?;
        for (boxes, origin) in batch.boxes.iter().zip(&batch.origins) {
            for found in boxes {
                let class = &shapes.classes()[found.class];
                let seen = found.edges();
                let photo = origin.to_photo(found).edges();
                println!("{class}: {seen:.1?} of the input, {photo:.1?} of the photo");
            }
        }
    }
    Ok(())
}
