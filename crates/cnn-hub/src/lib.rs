//! Files of the Hugging Face hub and of plain addresses, downloaded once, and uploads to the hub.
//!
//! - [`Hub::file`]: a file of a repository at a branch, tag or commit, in the cache that Python's
//!   `huggingface_hub` has, so that either finds what the other downloaded;
//! - [`Hub::url`]: a file of a plain address, verified by the hash in its name as PyTorch's are;
//! - [`Hub::push`]: files that one commit adds to a repository;
//! - [`Progress`]: what a transfer tells while it runs.
//!
//! A download is resumed where it was cut, verified, and placed whole or not at all; two processes
//! that want the same file download it once. A push is one commit or none. [`Error`] tells what
//! failed and what to do.
//! [`HubConfig::from_env`] lists the variables that are followed.
//!
//! No server can write outside the cache, make the program allocate what a header claims, learn the
//! token unless it is the hub itself, or lead from `https` to `http`.
//!
//! ```no_run
//! use cnn_hub::{Event, Hub, Repo, UrlFile};
//!
//! # fn main() -> Result<(), cnn_hub::Error> {
//! let hub = Hub::from_env()?;
//! let mut progress = |event: &Event<'_>| {
//!     if let Event::Bytes(transfer) = event {
//!         let left = transfer.remaining();
//!         eprintln!("{} of {:?} bytes, {left:?} left", transfer.done, transfer.total);
//!     }
//! };
//! let repo: Repo = "hf:timm/resnet18.a1_in1k".parse()?;
//! let weights = hub.file(&repo.file("model.safetensors")?, &mut progress)?;
//! let other = UrlFile::new("https://download.pytorch.org/models/resnet18-f37072fd.pth")?;
//! let other = hub.url(&other, &mut progress)?;
//! # Ok(())
//! # }
//! ```
//!
//! # In your project
//!
//! A debug build of a project that depends on this crate is slow unless its dependencies are
//! optimised: build with `--release`, or add to the workspace's `Cargo.toml`
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! ```
//!
//! [Use it in your project](https://github.com/cnn-rs/cnn/blob/main/docs/use-in-your-project.md)
//! has the dependencies and the figures.
//!
//! # Its neighbours
//!
//! It uses `cnn-core` only, and no other crate of the toolkit uses it but the command line: nothing
//! else needs the network. [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are
//! on one page.
//!
//! # Features
//!
//! None is on by default. `archives` adds `unpack` for zip, tar and tar.gz files, `datasets` the
//! datasets that are known by name, `DatasetEntry`.

#![forbid(unsafe_code)]

#[cfg(feature = "archives")]
mod archive;
mod cache;
mod checksum;
mod config;
#[cfg(feature = "datasets")]
mod datasets;
mod download;
mod error;
mod files;
mod hub;
mod list;
mod net;
mod progress;
mod push;
mod repo;
mod url_file;

#[cfg(feature = "archives")]
pub use archive::{ArchiveLimits, Unpacked, unpack};
pub use checksum::Checksum;
pub use config::{HubConfig, Retry};
#[cfg(feature = "datasets")]
pub use datasets::{DatasetEntry, DatasetFile, DatasetSplit};
pub use error::Error;
pub use hub::Hub;
pub use list::{RemoteFile, RepoFiles};
pub use progress::{Event, Progress, Silent, Transferred};
pub use push::{Push, Pushed, Upload, Visibility};
pub use repo::{Repo, RepoFile, RepoKind};
pub use url_file::UrlFile;
