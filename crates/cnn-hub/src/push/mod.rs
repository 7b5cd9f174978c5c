//! Uploads to the hub: what is pushed, the messages that the hub's API takes, and the steps.

mod local;
mod message;
mod request;
mod steps;
mod storage;

pub use request::{Push, Pushed, Upload, Visibility};
