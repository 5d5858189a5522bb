//! The documentation says what the code does.

use counterstain_api::error::ErrorCode;
use counterstain_api::spec;

fn read(name: &str) -> String {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn pipelines_md_holds_the_tables_of_every_key() {
    let text = read("pipelines.md");
    assert!(
        text.contains(&spec::markdown()),
        "docs/pipelines.md is behind the protos: paste what `cargo run -p counterstain-api --example pipeline_keys` prints"
    );
}

#[test]
fn operations_md_lists_every_error_code() {
    let text = read("operations.md");
    for code in ErrorCode::all() {
        let row = format!("| `{code}` | {} | {} |", code.exit_code(), code.http());
        assert!(text.contains(&row), "docs/operations.md lacks the row {row}");
    }
}
