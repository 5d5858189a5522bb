//! One suite for every kind of store: memory, a folder, and S3 (a real SeaweedFS).
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../common/mod.rs"]
mod common;
mod seaweed;
mod suite;

use counterstain_artifact::Store;

#[test]
fn memory_store_conforms() {
    suite::run(|| Store::open("memory:").unwrap());
}

#[test]
fn folder_store_conforms() {
    let root = tempfile::tempdir().unwrap();
    let mut number = 0;
    suite::run(|| {
        number += 1;
        Store::open(root.path().join(number.to_string()).to_str().unwrap()).unwrap()
    });
}

#[test]
fn s3_store_conforms_and_survives_a_restart_of_the_server() {
    let Some(mut server) = seaweed::start() else { return };
    let mut number = 0;
    suite::run(|| {
        number += 1;
        server.store(&format!("suite/{number}"))
    });
    server.a_missing_bucket_is_said();
    server.wrong_credentials_are_refused();
    server.survives_a_restart();
}
