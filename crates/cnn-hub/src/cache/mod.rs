//! What is on the disk: the layout that is shared with `huggingface_hub`, and locks between
//! processes.

mod lock;
mod store;

pub(crate) use lock::Lock;
pub(crate) use store::Store;
