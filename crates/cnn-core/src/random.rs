//! Keyed random streams: ChaCha8 keyed by SHA-256 of (seed, stream, position).
//!
//! ChaCha: D. J. Bernstein, "ChaCha, a variant of Salsa20", 2008.
//!
//! A [`Key`] is a place in a tree: [`Key::new`] is the root for a seed, [`Key::stream`] goes down
//! by name, [`Key::at`] by number. Each place has its own generator, [`Key::rng`], so what is drawn
//! at one place depends neither on what is drawn elsewhere nor on order or threads: sample 17 of
//! epoch 2 sees the same augmentation whoever prepares it, and resuming needs no stored state.
//!
//! **The values are part of the contract.** The distributions here are this crate's own, use
//! integer arithmetic, IEEE additions, multiplications and square roots, and [`libm`], and are
//! pinned by tests: the same key gives the same values on every platform and in every version of
//! this crate.
//!
//! ```
//! use cnn_core::Key;
//!
//! let augment = Key::new(42).stream("augment");
//! let mut rng = augment.at(2).at(17).rng();
//! let flip = rng.bernoulli(0.5);
//! assert_eq!(augment.at(2).at(17).rng().bernoulli(0.5), flip);
//! assert_ne!(augment.at(17).at(2), augment.at(2).at(17));
//! ```

mod key;
mod rng;

pub use key::Key;
pub use rng::Rng;
