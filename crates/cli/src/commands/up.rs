//! `up`: the local system until Ctrl-C.

use anyhow::Result;
use serde_json::json;

use super::store_location;
use crate::options::{Common, UpOptions};
use crate::output::{duration, say};
use crate::system::{LocalOptions, LocalSystem};

/// Starts the coordinator and the workers and keeps them running until Ctrl-C or SIGTERM.
pub async fn up(common: &Common, options: UpOptions) -> Result<()> {
    let interrupted = counterstain_service::shutdown::token()?;
    // A store of its own, or the data folder's: never that of another system on the folder, which is refused.
    let store = store_location(common)?;
    let local = LocalOptions {
        data: common.data.clone(),
        store,
        listen: Some(options.listen),
        workers: options.workers,
    };
    let system = LocalSystem::start(&local, |ended| {
        eprintln!(
            "{} {}; starting it again in {} (see {})",
            ended.name,
            ended.how,
            duration(ended.restart_in.as_secs_f64()),
            ended.log.display()
        );
    })
    .await?;
    if common.json {
        say!(
            "{}",
            json!({ "coordinator": system.running.coordinator, "store": system.running.store, "pid": system.running.pid })
        );
    } else {
        say!("coordinator  {}", system.running.coordinator);
        say!("store        {}", system.running.store);
        say!("logs         {}", std::path::absolute(common.data.join("logs"))?.display());
        say!("Ctrl-C stops everything");
    }
    interrupted.cancelled().await;
    eprintln!("stopping");
    system.stop();
    Ok(())
}
