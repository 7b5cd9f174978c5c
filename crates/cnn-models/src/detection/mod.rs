//! Networks that find objects, one folder per family.

pub(crate) mod yolox;
