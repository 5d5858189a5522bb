//! Turns a panic of the computing code into an error.
//!
//! `tch` panics when libtorch throws, unless the `f_` form of a function is
//! called. A worker must fail the part in hand with libtorch's message and live
//! on, without a panic report on its standard error for what it handles anyway.

use crate::error::{Error, without_backtrace};
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    static LAST_PANIC: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Runs `f`; a panic in it, libtorch's errors included, becomes an [`Error`] with
/// its message. Panics of the calling thread under `guard` are not printed; those
/// of other threads are, as ever.
///
/// Whatever `f` was changing may be half changed afterwards (a tensor updated in
/// place, say): drop it, or load it again from a checkpoint.
///
/// # Errors
/// What `f` returns, or the panic's message.
pub fn guard<R, E: From<Error>>(f: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    HOOK.call_once(install_hook);
    let outer = DEPTH.replace(DEPTH.get() + 1);
    let outcome = panic::catch_unwind(AssertUnwindSafe(f));
    DEPTH.set(outer);
    outcome.unwrap_or_else(|payload| {
        let recorded = LAST_PANIC.take();
        let (message, location) =
            recorded.unwrap_or_else(|| (payload_text(payload.as_ref()), "an unknown place".to_owned()));
        Err(E::from(describe(message, location)))
    })
}

fn install_hook() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
            previous(info);
        } else {
            record(info);
        }
    }));
}

fn record(info: &PanicHookInfo<'_>) {
    let location = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), |place| format!("{}:{}", place.file(), place.line()));
    LAST_PANIC.with(|last| last.replace(Some((payload_text(info.payload()), location))));
}

fn payload_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

/// `tch` unwraps its errors, so that libtorch's message arrives in their debug form:
/// ``called `Result::unwrap()` on an `Err` value: Torch("…\n…")``.
fn describe(message: String, location: String) -> Error {
    let debug_form = message.split_once("on an `Err` value: ").map(|(_, rest)| rest);
    let Some((kind, quoted)) = debug_form.and_then(|form| form.split_once("(\"")) else {
        return Error::Panicked { message, location };
    };
    if !["Torch", "Shape", "Kind", "Convert", "FileFormat"].contains(&kind) {
        return Error::Panicked { message, location };
    }
    let quoted = quoted.strip_suffix("\")").unwrap_or(quoted);
    Error::Libtorch(without_backtrace(&unescape(quoted)).to_owned())
}

/// Undoes the escapes of Rust's debug strings that occur in libtorch's messages.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some(other) => plain.push(other),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    fn mismatch() -> Result<Tensor, Error> {
        let a = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
        Ok(a.matmul(&a))
    }

    #[test]
    fn a_libtorch_error_becomes_an_error_with_its_message_only() {
        let error = guard(mismatch).expect_err("2x3 by 2x3 has no product");
        let text = error.to_string();
        assert!(text.contains("shapes cannot be multiplied (2x3 and 2x3)"), "{text}");
        assert!(!text.contains("frame #") && !text.contains("Result::unwrap"), "{text}");
        assert!(matches!(error, Error::Libtorch(_)));
    }

    #[test]
    fn another_panic_is_reported_with_its_place() {
        let error = guard(|| -> Result<(), Error> { panic!("counted {} of 3", 2) });
        let text = error.expect_err("it panicked").to_string();
        assert!(text.contains("counted 2 of 3") && text.contains("guard.rs:"), "{text}");
    }

    #[test]
    fn values_and_errors_pass_through() {
        assert_eq!(guard(|| Ok::<_, Error>(7)).ok(), Some(7));
        let error = guard(|| Err::<(), _>(Error::State("no step".into())));
        assert!(matches!(error, Err(Error::State(_))));
    }

    #[test]
    fn nested_guards_each_catch_their_own() {
        let outcome = guard(|| {
            let inner = guard(mismatch);
            assert!(inner.is_err());
            guard(mismatch)
        });
        assert!(matches!(outcome, Err(Error::Libtorch(_))));
        assert_eq!(DEPTH.get(), 0);
    }
}
