//! Wider vector instructions where the machine has them, chosen when the program runs.
//!
//! Invariant: the arithmetic does not depend on the choice. The compiler never fuses
//! or reorders floating-point operations by itself, so wider registers give the
//! same bits; where code asks for a fused operation, the slow path emulates it.

/// Runs a closure compiled for the widest instructions that the machine has.
///
/// What it calls must be inlined into it to profit.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}
