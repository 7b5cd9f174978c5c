//! Where in the tree of random streams something is drawn.

use sha2::{Digest as _, Sha256};

use super::Rng;

const ROOT_DOMAIN: &[u8] = b"cnn-core random v1";
const STREAM_TAG: u8 = 1;
const POSITION_TAG: u8 = 2;

/// A place in the tree of random streams: 256 bits, derived by SHA-256, cheap to copy.
///
/// Different paths from the root give different keys; that two collide is as unlikely as a
/// collision of SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    bytes: [u8; 32],
}

impl Key {
    /// The root of all streams of `seed`.
    pub fn new(seed: u64) -> Self {
        Self::derive(&[ROOT_DOMAIN, &seed.to_le_bytes()])
    }

    /// The child with this name, such as `"shuffle"` or a parameter's `"layer1.0.conv1.weight"`.
    ///
    /// `stream("a").stream("b")`, `stream("ab")` and `stream("b").stream("a")` are three different
    /// keys.
    #[must_use]
    pub fn stream(&self, name: &str) -> Self {
        let length = name.len() as u64;
        Self::derive(&[
            &self.bytes,
            &[STREAM_TAG],
            &length.to_le_bytes(),
            name.as_bytes(),
        ])
    }

    /// The child at this position, such as an epoch or a sample's index.
    #[must_use]
    pub fn at(&self, position: u64) -> Self {
        Self::derive(&[&self.bytes, &[POSITION_TAG], &position.to_le_bytes()])
    }

    /// The generator of this place, always from its beginning.
    pub fn rng(&self) -> Rng {
        Rng::from_seed(self.bytes)
    }

    fn derive(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self {
            bytes: hasher.finalize().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn hex(key: Key) -> String {
        key.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // From tests/random_reference.py.
    #[test]
    fn keys_never_change() {
        assert_eq!(
            hex(Key::new(0)),
            "c2f9963dba109cdbe4208996b4c134538fa1c622180fe0140b7a2c50c76e3f6d"
        );
        assert_eq!(
            hex(Key::new(42).stream("augment").at(7)),
            "35145f0995cb01b259f89eb308f820d46fa1988d802e37d34bf3be17fd792d1c"
        );
    }

    #[test]
    fn different_paths_give_different_keys() {
        let root = Key::new(1);
        let keys = [
            root,
            Key::new(0),
            Key::new(u64::MAX),
            root.stream(""),
            root.stream("a"),
            root.stream("b"),
            root.stream("ab"),
            root.stream("a").stream("b"),
            root.stream("b").stream("a"),
            root.stream("\0"),
            root.at(0),
            root.at(1),
            root.at(u64::MAX),
            root.at(0).at(1),
            root.at(1).at(0),
            root.at(0).stream("a"),
            root.stream("a").at(0),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn neighbouring_positions_are_uncorrelated() {
        let key = Key::new(3).stream("augment");
        let first: Vec<f64> = (0..20_001)
            .map(|position| key.at(position).rng().uniform() - 0.5)
            .collect();
        let products = first.windows(2).map(|pair| pair[0] * pair[1]);
        let correlation = products.sum::<f64>() / 20_000.0 * 12.0;
        assert!(correlation.abs() < 4.0 / 20_000f64.sqrt(), "{correlation}");
    }

    #[test]
    fn every_thread_draws_the_same() {
        let draw = || {
            let mut rng = Key::new(5).stream("shuffle").at(2).rng();
            (rng.permutation(100), rng.normal().to_bits(), rng.next_u64())
        };
        let expected = draw();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(draw)).collect();
        for thread in threads {
            assert_eq!(thread.join().ok(), Some(expected.clone()));
        }
    }
}
