//! Keeps a panic inside a third-party parser from reaching the caller.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a third-party parser over a stranger's bytes; a panic in it comes back as its message.
///
/// The parsers are written to return errors, but their code is not ours and indexes what it reads.
/// A file that makes one panic must cost a skipped sample, not the run. Nothing that `parse`
/// touches is used after a panic, so no broken invariant can be seen.
pub(crate) fn contain_panic<T>(parse: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(parse)).map_err(|payload| {
        format!(
            "the decoder gave up on inconsistent data ({})",
            message(payload.as_ref())
        )
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(contain_panic(|| 3), Ok(3));
        let index = std::hint::black_box(7);
        let message = contain_panic(|| [1, 2][index]).unwrap_err();
        assert!(
            message.contains("index out of bounds: the len is 2 but the index is 7"),
            "{message}"
        );
        assert!(
            contain_panic(|| panic!("static"))
                .unwrap_err()
                .contains("(static)")
        );
    }
}
