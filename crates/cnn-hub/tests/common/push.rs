//! What the tests of pushes have in common.

use std::fs;
use std::path::Path;

use cnn_hub::{Error, Hub, HubConfig, Push, Pushed, Repo, Silent, Upload};

use super::{PAGE, bytes};
use crate::server::World;

pub const TOKEN: &str = "hf_right";

/// Large files from 1000 bytes on, for a token that may write.
pub fn world() -> World {
    let world = World::start();
    world.state().token = Some(TOKEN.to_string());
    world.state().pushes.large = 1000;
    world
}

pub fn config(world: &World, cache: &Path) -> HubConfig {
    super::config(world, cache).with_token(TOKEN).unwrap()
}

/// A folder with a small file, an empty one, a large one and another of the same content.
pub struct Folder {
    pub root: tempfile::TempDir,
    pub large: Vec<u8>,
}

impl Folder {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let large = bytes(300_000, 21);
        fs::create_dir(root.path().join("sub")).unwrap();
        fs::write(root.path().join("README.md"), "# A network\n\"ü\"\n").unwrap();
        fs::write(root.path().join("empty.txt"), "").unwrap();
        fs::write(root.path().join("model.safetensors"), &large).unwrap();
        fs::write(root.path().join("sub/copy of it.bin"), &large).unwrap();
        Self { root, large }
    }

    pub fn files(&self) -> Vec<Upload> {
        Upload::folder(self.root.path()).unwrap()
    }

    pub fn push(&self) -> Push {
        let repo = Repo::model(PAGE).unwrap();
        Push::new(repo, self.files(), "Add weights\n\nAnd a page").unwrap()
    }

    pub fn is_at(&self, world: &World, page: &str) -> bool {
        let state = world.state();
        self.files().iter().all(|upload| {
            let there = state
                .files
                .get(&(page.to_string(), upload.path().to_string()));
            there.is_some_and(|file| file.bytes == fs::read(upload.source()).unwrap())
        })
    }
}

pub fn pushed(world: &World, push: &Push) -> Result<Pushed, Error> {
    let cache = tempfile::tempdir().unwrap();
    Hub::new(config(world, cache.path()))
        .unwrap()
        .push(push, &mut Silent)
}
