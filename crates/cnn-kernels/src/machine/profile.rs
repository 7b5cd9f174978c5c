//! Where the time of a forward and a backward pass goes, operation by operation.

use std::cell::RefCell;
use std::time::Instant;

/// A part of an operation that [`profile`] timed.
#[derive(Debug, Clone, PartialEq)]
pub struct OpTime {
    /// The operation, as `conv2d`.
    pub op: &'static str,
    /// Its geometry, as `3x3/2`; empty where it has none.
    pub geometry: String,
    /// What [`labelled`] called the place, as `layer1.0.conv1`; empty outside.
    pub label: String,
    /// Which part.
    pub pass: Pass,
    /// Shape of the output.
    pub shape: Vec<usize>,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Floating-point operations of the definition, a multiply-add counted as two; 0 where memory
    /// is what costs.
    pub flops: f64,
    /// Bytes of the maps and parameters that this part has to read and write, once for each pass
    /// over them that it cannot do without.
    pub bytes: f64,
}

/// A part of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pass {
    /// The output.
    Forward,
    /// The gradients of all inputs.
    Backward,
    /// The gradients of the maps alone.
    InputGradient,
    /// The gradients of the parameters alone.
    ParameterGradient,
}

impl Pass {
    /// `forward`, `backward`, `input gradient` or `parameter gradient`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::InputGradient => "input gradient",
            Self::ParameterGradient => "parameter gradient",
        }
    }
}

thread_local! {
    static TIMES: RefCell<Option<Vec<OpTime>>> = const { RefCell::new(None) };
    static LABEL: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `work` and returns what every operation of this crate cost that this thread ran in it, in
/// order. The gradients of a convolution's input and weight are computed, and timed, one after the
/// other.
pub fn profile<T>(work: impl FnOnce() -> T) -> (T, Vec<OpTime>) {
    let outer = TIMES.replace(Some(Vec::new()));
    let result = work();
    let times = TIMES.replace(outer).unwrap_or_default();
    (result, times)
}

/// Runs `work`; operations in it, and their backward passes, carry this label while [`profile`]
/// watches.
pub fn labelled<T>(label: &str, work: impl FnOnce() -> T) -> T {
    if !is_watched() {
        return work();
    }
    let outer = LABEL.replace(label.to_string());
    let result = work();
    LABEL.replace(outer);
    result
}

pub(crate) fn is_watched() -> bool {
    TIMES.with_borrow(Option::is_some)
}

/// The label of this place; empty if nobody watches.
pub(crate) fn label() -> String {
    LABEL.with_borrow(String::clone)
}

/// Runs a part of an operation under the clock; `describe` is asked only if somebody watches.
pub(crate) fn timed<T>(describe: impl FnOnce() -> OpTime, work: impl FnOnce() -> T) -> T {
    if !is_watched() {
        return work();
    }
    let time = describe();
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    TIMES.with_borrow_mut(|times| {
        times
            .as_mut()
            .map(|times| times.push(OpTime { seconds, ..time }))
    });
    result
}
