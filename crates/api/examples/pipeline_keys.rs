//! Prints the tables of docs/pipelines.md: `cargo run -p counterstain-api --example pipeline_keys`.

fn main() {
    print!("{}", counterstain_api::spec::markdown());
}
