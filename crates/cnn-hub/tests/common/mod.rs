//! What the tests of hub and client have in common.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod push;

use std::path::Path;
use std::time::Duration;

use cnn_core::Key;
use cnn_hub::{Hub, HubConfig, Repo, RepoFile, Retry};

use super::server::{World, tree};

pub const PAGE: &str = "owner/name";

/// Waits for milliseconds where people wait for seconds.
pub fn config(world: &World, cache: &Path) -> HubConfig {
    HubConfig::in_directory(cache)
        .with_endpoint(&world.hub.url())
        .unwrap()
        .with_timeouts(Duration::from_secs(5), Duration::from_millis(400))
        .with_retry(Retry {
            failures: 4,
            first_delay: Duration::from_millis(1),
            longest_delay: Duration::from_millis(1500),
        })
}

pub fn hub(world: &World, cache: &Path) -> Hub {
    Hub::new(config(world, cache)).unwrap()
}

pub fn file(path: &str) -> RepoFile {
    Repo::model(PAGE).unwrap().file(path).unwrap()
}

pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = Key::new(seed).stream("content").rng();
    (0..length).map(|_| rng.below(256) as u8).collect()
}

/// What is in the cache under names that mean something whole.
pub fn whole_files(cache: &Path) -> Vec<String> {
    let is_whole = |name: &String| {
        (name.contains("/blobs/") || name.contains("/snapshots/")) && !name.ends_with(".incomplete")
    };
    tree(cache).into_iter().filter(is_whole).collect()
}
