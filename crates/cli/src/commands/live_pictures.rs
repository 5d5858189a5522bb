//! `pictures`: what a job makes, while it runs or after.

use anyhow::{Context as _, Result};
use counterstain_api::proto::job::v1::ListPicturesRequest;
use serde_json::{Value, json};

use super::answer;
use crate::client::Client;
use crate::options::{Common, PicturesOptions};
use crate::output::{print_json, say};

/// Writes the kept pictures of a job, newest first.
pub async fn write(common: &Common, options: PicturesOptions) -> Result<()> {
    let mut client = Client::connect(common).await?;
    let request = ListPicturesRequest { job_id: options.job.clone() };
    let pictures = answer(client.jobs.list_pictures(request).await)?.pictures;
    let out = &options.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let mut written: Vec<Value> = Vec::new();
    for picture in pictures {
        // The name is a worker's: only what is harmless in a file name stays.
        let name: String =
            picture.name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
        let path = out.join(format!("{name}-{:08}.png", picture.step));
        std::fs::write(&path, &picture.png).with_context(|| format!("cannot write {}", path.display()))?;
        if !common.json {
            say!("{}  {}", path.display(), picture.panels.join(" | "));
        }
        written.push(
            json!({ "path": path, "name": picture.name, "step": picture.step, "panels": picture.panels }),
        );
    }
    if common.json {
        print_json(&json!({ "pictures": written }));
    } else if written.is_empty() {
        say!("no pictures yet: generators in training and at work have some");
    }
    Ok(())
}
