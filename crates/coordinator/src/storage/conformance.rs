//! The conformance suite of the storage traits.
