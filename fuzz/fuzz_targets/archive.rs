//! Archives: the input is a zip, tar or tar.gz file, unpacked into a new directory.
#![no_main]

use std::fs;
use std::path::PathBuf;

use cnn_hub::{ArchiveLimits, Silent, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // In memory: there is a directory for each input.
    let root = PathBuf::from(format!("/dev/shm/cnn-fuzz-archive-{}", std::process::id()));
    let archive = root.join("archive");
    let target = root.join("target");
    fs::create_dir_all(&root).expect("a directory in memory");
    fs::write(&archive, data).expect("a file in memory");
    let limits = ArchiveLimits { entries: 50, bytes: 1 << 20, ratio: 1000 };
    let is_unpacked = unpack(&archive, &target, &limits, &mut Silent).is_ok();
    assert_eq!(target.is_dir(), is_unpacked);
    if is_unpacked {
        fs::remove_dir_all(&target).expect("it has just been made");
    }
    // Nothing else was left beside it.
    assert_eq!(fs::read_dir(&root).expect("it is there").count(), 1);
});
