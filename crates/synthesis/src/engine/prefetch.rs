//! Overlaps the making of batches (reading, decoding) with their use (computing).
//!
//! Items arrive in order, whatever the timing, so results do not depend on it.

use std::ops::Range;
use std::sync::mpsc;

/// Makes the item of every position on another thread, at most `ahead` items early,
/// and hands them in order to `consume` on this thread.
///
/// The first error ends both sides and is returned; an error of `consume` wins over
/// a later one of `produce`.
///
/// # Errors
/// Whatever `produce` or `consume` returns.
///
/// # Panics
/// A panic of `produce` goes on in the calling thread.
pub fn prefetch<T: Send, E: Send>(
    positions: Range<u64>,
    ahead: usize,
    mut produce: impl FnMut(u64) -> Result<T, E> + Send,
    mut consume: impl FnMut(u64, T) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        // The channel is closed when this closure ends, by whichever way, and the
        // producer then stops at its next item.
        let (sender, receiver) = mpsc::sync_channel(ahead.max(1));
        let range = positions.clone();
        let producer = scope.spawn(move || {
            for position in range {
                let item = produce(position);
                let failed = item.is_err();
                if sender.send(item).is_err() || failed {
                    return;
                }
            }
        });
        for position in positions {
            match receiver.recv() {
                Ok(item) => consume(position, item?)?,
                Err(_) => break,
            }
        }
        drop(receiver);
        if let Err(panic) = producer.join() {
            std::panic::resume_unwind(panic);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_arrive_in_order() {
        let mut seen = Vec::new();
        let outcome: Result<(), ()> = prefetch(
            3..9,
            2,
            |n| Ok(n * 10),
            |n, item| {
                seen.push((n, item));
                Ok(())
            },
        );
        assert!(outcome.is_ok());
        assert_eq!(seen, (3..9).map(|n| (n, n * 10)).collect::<Vec<_>>());
    }

    #[test]
    fn an_error_of_either_side_ends_both() {
        let outcome = prefetch(0..100, 2, |n| if n == 5 { Err("made") } else { Ok(n) }, |_, _| Ok(()));
        assert_eq!(outcome, Err("made"));
        let outcome = prefetch(0..u64::MAX, 2, Ok, |n, _| if n == 7 { Err("used") } else { Ok(()) });
        assert_eq!(outcome, Err("used"));
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_of_the_producer_is_not_lost() {
        let _: Result<(), ()> =
            prefetch(0..3, 1, |_| -> Result<u64, ()> { panic!("on purpose") }, |_, _| Ok(()));
    }
}
