//! `report`: result.json and report.html of a pipeline that was run.

use anyhow::Result;
use counterstain_api::error::ErrorCode;
use counterstain_api::proto::job::v1::{GetPipelineRequest, ListJobsRequest};

use super::run::default_out;
use super::{answer, open_store, results};
use crate::client::Client;
use crate::failure::fail;
use crate::follow::{Target, jobs_of};
use crate::json::has_ended;
use crate::options::{Common, ReportOptions};

/// Writes the report of a pipeline.
pub async fn report(common: &Common, options: ReportOptions) -> Result<()> {
    let client = Client::connect(common).await?;
    let (id, name) = find_pipeline(&client, &options.pipeline).await?;
    let jobs = jobs_of(&client, &Target::Pipeline(id)).await?;
    let open = jobs.iter().filter(|job| !has_ended(job.state())).count();
    if open > 0 {
        eprintln!("note: {open} jobs have not ended yet; the report shows what is there");
    }
    let out = options.out.unwrap_or_else(|| default_out(&name));
    let data = results::gather(&client, &open_store(common)?, &name, &jobs).await?;
    results::write(&data, &out)?;
    results::print(&data, &out, common.json);
    Ok(())
}

/// A pipeline by id, unique prefix of its id, or name (the latest of that name): id and name.
async fn find_pipeline(client: &Client, wanted: &str) -> Result<(String, String)> {
    if let Ok(response) = client.jobs.clone().get_pipeline(GetPipelineRequest { id: wanted.to_owned() }).await
        && let Some(pipeline) = response.into_inner().pipeline
    {
        return Ok((pipeline.id, pipeline.name));
    }
    let mut page_token = String::new();
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        let request = ListJobsRequest { page_size: 1000, page_token, ..ListJobsRequest::default() };
        let page = answer(client.jobs.clone().list_jobs(request).await)?;
        // Newest first, so the first of a name is its latest run.
        if let Some(job) = page.jobs.iter().find(|job| job.pipeline_name == wanted) {
            return Ok((job.pipeline_id.clone(), job.pipeline_name.clone()));
        }
        for job in page.jobs.iter().filter(|job| wanted.len() >= 4 && job.pipeline_id.starts_with(wanted)) {
            let pipeline = (job.pipeline_id.clone(), job.pipeline_name.clone());
            if !found.contains(&pipeline) {
                found.push(pipeline);
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    match found.as_slice() {
        [pipeline] => Ok(pipeline.clone()),
        [] => Err(fail(
            ErrorCode::NotFound,
            format!("there is no pipeline {wanted}; `counterstain jobs` lists them"),
        )),
        _ => Err(fail(
            ErrorCode::InvalidArgument,
            format!("{wanted} is the beginning of several pipelines' ids"),
        )),
    }
}
