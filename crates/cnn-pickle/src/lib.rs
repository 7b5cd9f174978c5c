//! A bounded interpreter for Python's pickles, as `torch.save` and numpy write them. It executes
//! nothing.
//!
//! Objects live in an arena and refer to each other by index, so sharing costs nothing, cycles are
//! harmless and nothing recurses. Each opcode makes at most one object of a few dozen bytes beside
//! moving references, hence time and memory are linear in the pickle's length; functions are never
//! called, the few that matter (`torch._utils._rebuild_tensor_v2`, `numpy.dtype`, …) are modelled.
//! Whatever else a pickle makes becomes an inert object, and one that would call what runs code, or
//! touches files, processes or the network, is refused with the function's name
//! ([`Error::Refused`]).
//!
//! ```
//! use cnn_pickle::{Pickle, Value};
//!
//! // pickle.dumps({"label": 6}, protocol=2)
//! let pickle = Pickle::parse(b"\x80\x02}q\x00X\x05\x00\x00\x00labelq\x01K\x06s.")?;
//! let label = pickle.entry(pickle.root, b"label").map(|id| pickle.value(id));
//! assert!(matches!(label, Some(Value::Int(6))));
//! # Ok::<(), cnn_pickle::Error>(())
//! ```
//!
//! # Its neighbours
//!
//! `cnn-weights` reads PyTorch's files with it, and `cnn-data` those of CIFAR's that are pickles.
//! [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
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

#![forbid(unsafe_code)]

mod arrays;
mod calls;
mod element;
mod error;
mod globals;
mod machine;
mod reader;
mod value;

pub use element::ElementType;
pub use error::Error;
pub use globals::Global;
pub use machine::{Pickle, StorageDeclaration};
pub use value::{ArrayType, Id, Object, Source, Span, Storage, TensorView, Value};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn values_of_every_protocol() {
        let cases: [(&[u8], &str); 14] = [
            (b"I42\n.", "Int(42)"),
            (b"I01\n.", "Bool(true)"),
            (b"L-7L\n.", "Int(-7)"),
            (b"F0.5\n.", "Float(0.5)"),
            (b"\x80\x02J\xff\xff\xff\xff.", "Int(-1)"),
            (b"\x80\x02M\x01\x02.", "Int(513)"),
            (b"\x80\x02\x8a\x02\x00\x80.", "Int(-32768)"),
            (b"\x80\x02\x8a\x00.", "Int(0)"),
            (b"\x80\x02\x8b\x01\x00\x00\x00\x7f.", "Int(127)"),
            (b"\x80\x02G\x3f\xe0\0\0\0\0\0\0.", "Float(0.5)"),
            (b"\x80\x04\x95\x03\0\0\0\0\0\0\0N\x94.", "None"),
            (b"(I1\nI2\nl0(1N.", "None"),
            (b"\x80\x02N2\x860N.", "None"),
            (b"\x80\x04\x8f(K\x01\x90.", "Opaque"),
        ];
        for (bytes, expected) in cases {
            let pickle = Pickle::parse(bytes).unwrap_or_else(|e| panic!("{bytes:?}: {e}"));
            assert_eq!(
                format!("{:?}", pickle.value(pickle.root)),
                expected,
                "{bytes:?}"
            );
            assert_eq!(pickle.end, bytes.len());
        }
    }

    #[test]
    fn containers_are_shared_not_copied() {
        // x = []; y = [x, x]; x.append(5)
        let pickle = Pickle::parse(b"\x80\x02]q\x00]q\x01(h\x00h\x00eh\x00K\x05a0.").unwrap();
        let Value::List(items) = pickle.value(pickle.root) else {
            panic!()
        };
        assert_eq!(items[0], items[1]);
        let Value::List(inner) = pickle.value(items[0]) else {
            panic!()
        };
        assert_eq!(inner.len(), 1);
    }

    #[test]
    fn long_texts_named_a_million_times_take_no_time() {
        let mut bytes = b"\x80\x04\x8d".to_vec();
        bytes.extend((1u64 << 22).to_le_bytes());
        bytes.extend(vec![b'x'; 1 << 22]);
        bytes.extend(b"\x94");
        bytes.extend(b"h\x00h\x00\x930".repeat(1 << 20));
        bytes.extend(b".");
        let started = std::time::Instant::now();
        assert!(Pickle::parse(&bytes).is_ok());
        assert!(
            started.elapsed() < std::time::Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
    }

    #[test]
    fn broken_pickles_are_errors_with_their_place() {
        let cases: [(&[u8], &str); 10] = [
            (b"", "broken pickle at byte 0: it ends in the middle"),
            (
                b"\x80\x06N.",
                "broken pickle at byte 0: protocol 6 is not known",
            ),
            (
                b"\x80\x02N\x86.",
                "broken pickle at byte 3: the stack is empty",
            ),
            (
                b"\x80\x02(N(\x85.",
                "broken pickle at byte 5: the stack is empty",
            ),
            (b"\x80\x02Nt.", "broken pickle at byte 3: a mark is missing"),
            (
                b"\x80\x02}(Nu.",
                "broken pickle at byte 5: a key lacks its value",
            ),
            (b"\x80\x02NNa.", "adds items to something that holds none"),
            (b"\x80\x02N)R.", "calls something that is not a name"),
            (b"\x80\x02NQ.", "a persistent id is not a tuple"),
            (b"\x80\x02\x82\x01.", "extension codes"),
        ];
        for (bytes, expected) in cases {
            let error = Pickle::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
