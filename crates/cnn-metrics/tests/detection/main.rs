//! Metrics of object detection against pycocotools, VOC's development kit, ultralytics and tidecv:
//! `tools/goldens/detection_metrics.py` makes the numbers, and the images by the same formula.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cases;
#[path = "../formula/mod.rs"]
mod formula;
mod golden;
mod properties;
