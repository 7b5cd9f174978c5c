//! Seeded damage to files.

use cnn_core::{Key, Rng};

/// What a damaged file did to its parser.
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    pub(crate) rejected: usize,
    pub(crate) contained: usize,
}

/// Damages each of `files` in turn, 100,000 cases in all, and parses what is left. A panic fails
/// the test.
pub(crate) fn mutate_100_000(
    name: &str,
    files: &[Vec<u8>],
    repair: impl Fn(&mut Vec<u8>, &mut Rng),
    parse: impl Fn(&[u8]) -> Result<(), String>,
) -> Tally {
    quiet_contained_panics();
    let key = Key::new(0).stream(name);
    let mut tally = Tally {
        accepted: 0,
        rejected: 0,
        contained: 0,
    };
    for file in files {
        parse(file).unwrap();
    }
    for case in 0..100_000 {
        let mut rng = key.at(case).rng();
        let mut bytes = files[case as usize % files.len()].clone();
        for _ in 0..=rng.below(4) {
            damage(&mut bytes, &mut rng);
        }
        repair(&mut bytes, &mut rng);
        match parse(&bytes) {
            Ok(()) => tally.accepted += 1,
            Err(message) if message.contains("gave up on inconsistent data") => {
                tally.contained += 1
            }
            Err(_) => tally.rejected += 1,
        }
    }
    println!(
        "{name}: {} accepted, {} rejected, {} panics contained",
        tally.accepted, tally.rejected, tally.contained
    );
    tally
}

fn damage(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len() as u64;
    let at = rng.below(len) as usize;
    let run = (1 + rng.below(8) as usize).min(bytes.len() - at);
    match rng.below(8) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = rng.below(256) as u8,
        2 => bytes[at..at + run].fill(0),
        3 => bytes[at..at + run].fill(0xff),
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..at + run)),
        6 => {
            let copied = bytes[at..at + run].to_vec();
            let to = rng.below(len) as usize;
            bytes.splice(to..to, copied);
        }
        _ => bytes[at] = bytes[at].wrapping_add(1 + 254 * rng.below(2) as u8),
    }
}

/// Panics inside third-party parsers are caught; their messages would fill the output.
fn quiet_contained_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let ours = panic
                .location()
                .is_none_or(|location| location.file().contains("cnn-data"));
            if ours {
                usual(panic);
            }
        }));
    });
}
