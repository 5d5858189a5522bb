//! Where a store is: `/folder`, `file:///folder`, `memory:` or `s3://bucket/prefix`.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use url::Url;

use crate::Error;

/// A store that was opened but not yet asked for anything.
pub(crate) struct Opened {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) prefix: Path,
    /// Set for a folder.
    pub(crate) folder: Option<PathBuf>,
}

/// Opens `location`; `settings` are `AWS_*` names with their values.
pub(crate) fn open(location: &str, settings: &[(String, String)]) -> Result<Opened, Error> {
    let fail = |reason: String| Error::Location { location: location.to_owned(), reason };
    if location == "memory:" || location == "memory" {
        return Ok(Opened { objects: Arc::new(InMemory::new()), prefix: Path::default(), folder: None });
    }
    if let Some(rest) = location.strip_prefix("s3://") {
        return open_s3(rest, settings).map_err(fail);
    }
    if let Some((scheme, _)) = location.split_once("://")
        && scheme != "file"
    {
        return Err(fail(format!(
            "has the unknown scheme {scheme:?}; expected a folder, s3://bucket/prefix or memory:"
        )));
    }
    let folder = if location.starts_with("file:") {
        let url = Url::parse(location).map_err(|error| fail(format!("is not a URL: {error}")))?;
        url.to_file_path().map_err(|()| fail("is not a file URL; write file:///folder".to_owned()))?
    } else if location.is_empty() {
        return Err(fail("is empty; give a folder, s3://bucket/prefix or memory:".to_owned()));
    } else {
        PathBuf::from(location)
    };
    open_folder(&folder)
}

fn open_folder(folder: &FilePath) -> Result<Opened, Error> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io("create folder", folder, error))?;
    let folder = folder.canonicalize().map_err(|error| Error::io("find folder", folder, error))?;
    let objects = LocalFileSystem::new_with_prefix(&folder).map_err(|error| Error::Location {
        location: folder.display().to_string(),
        reason: format!("cannot be opened: {error}"),
    })?;
    // Without fsync, an object that was acknowledged could be empty after a power cut.
    Ok(Opened { objects: Arc::new(objects.with_fsync(true)), prefix: Path::default(), folder: Some(folder) })
}

fn open_s3(rest: &str, settings: &[(String, String)]) -> Result<Opened, String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err("names no bucket; write s3://bucket/prefix".to_owned());
    }
    let prefix =
        Path::parse(prefix.trim_end_matches('/')).map_err(|error| format!("has a faulty prefix: {error}"))?;
    let mut builder = AmazonS3Builder::new();
    for (name, value) in settings {
        if let Some(key) = s3_key(name) {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    let allow_http = settings.iter().any(|(name, value)| name == "AWS_ALLOW_HTTP" && is_true(value))
        || endpoint.as_deref().is_some_and(is_loopback);
    if let Some(endpoint) = &endpoint
        && endpoint.starts_with("http://")
        && !allow_http
    {
        return Err(format!(
            "would be reached without encryption at {endpoint}; use https, or set AWS_ALLOW_HTTP=true inside a closed network"
        ));
    }
    // Without keys object_store would ask for the role of an Amazon machine, for a minute and in vain.
    let key_sources =
        ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY", "AWS_CONTAINER_CREDENTIALS", "AWS_SKIP_SIGNATURE"];
    let has_keys = settings.iter().any(|(name, _)| key_sources.iter().any(|source| name.starts_with(source)));
    if endpoint.is_some() && !has_keys {
        return Err("needs credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned());
    }
    let client = ClientOptions::new()
        .with_allow_http(allow_http)
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(60));
    // The parts of a large upload can only be repeated by object_store itself. What it gives up, the loop in
    // `retry` judges and tries again as a whole: so this patience is short.
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 1_000,
        retry_timeout: Duration::from_secs(15),
    };
    let objects = builder
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(client)
        .with_retry(retry)
        .build()
        .map_err(|error| format!("cannot be opened: {error}"))?;
    Ok(Opened { objects: Arc::new(objects), prefix, folder: None })
}

/// The setting that a variable of the AWS tools names, if it is one.
fn s3_key(name: &str) -> Option<AmazonS3ConfigKey> {
    // Set by the tools but not known to object_store under this name.
    if name == "AWS_ENDPOINT_URL_S3" {
        return Some(AmazonS3ConfigKey::Endpoint);
    }
    name.starts_with("AWS_").then(|| name.to_ascii_lowercase().parse().ok()).flatten()
}

/// The `AWS_*` variables of this process.
pub(crate) fn environment() -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty())
        .collect();
    // Sorted, so that of two names for one setting always the same one wins.
    settings.sort();
    settings
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

fn is_loopback(endpoint: &str) -> bool {
    let Ok(url) = Url::parse(endpoint) else { return false };
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(location: &str, settings: &[(&str, &str)]) -> String {
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        match open(location, &settings) {
            Ok(_) => panic!("{location} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn faulty_locations_are_refused_with_what_would_be_right() {
        assert!(refusal("", &[]).contains("is empty"));
        assert!(refusal("gs://bucket", &[]).contains("unknown scheme"));
        assert!(refusal("s3://", &[]).contains("no bucket"));
        assert!(refusal("s3://bucket/a//b", &[]).contains("prefix"));
        assert!(
            refusal("s3://b", &[("AWS_ENDPOINT", "http://store.example:8333")]).contains("AWS_ALLOW_HTTP")
        );
    }

    #[test]
    fn http_is_accepted_on_loopback_or_when_asked_for() {
        let keys = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "us-east-1")];
        for more in [
            &[("AWS_ENDPOINT_URL", "http://127.0.0.1:8333")][..],
            &[("AWS_ENDPOINT_URL_S3", "http://localhost:8333")],
            &[("AWS_ENDPOINT", "http://seaweedfs:8333"), ("AWS_ALLOW_HTTP", "true")],
        ] {
            let settings: Vec<_> =
                keys.iter().chain(more).map(|(name, value)| (name.to_string(), value.to_string())).collect();
            assert!(open("s3://bucket/some/prefix", &settings).is_ok(), "{more:?}");
        }
    }

    #[test]
    fn a_folder_is_made_when_it_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let opened = open(folder.to_str().unwrap(), &[]).unwrap();
        assert_eq!(opened.folder.unwrap(), folder.canonicalize().unwrap());
        assert!(open(&format!("file://{}", folder.display()), &[]).is_ok());
    }
}
