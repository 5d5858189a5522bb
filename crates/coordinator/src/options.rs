//! The coordinator's options.

use std::net::SocketAddr;

use clap::Parser;

use crate::machine::Policy;

/// The control plane of Counterstain: accepts pipelines and hands out work.
#[derive(Clone, Debug, Parser)]
#[command(name = "counterstain-coordinator", version)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, env = "COUNTERSTAIN_LISTEN", default_value = "127.0.0.1:7070", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Allow an address that other machines can reach. Calls are not authenticated.
    #[arg(long, env = "COUNTERSTAIN_ALLOW_REMOTE")]
    pub allow_remote: bool,
    /// Database: sqlite:PATH.
    #[arg(long, env = "COUNTERSTAIN_DATABASE", value_name = "LOCATION")]
    pub database: String,
    /// Object store: a folder or s3://bucket/prefix.
    #[arg(long, env = "COUNTERSTAIN_STORE", value_name = "LOCATION")]
    pub store: String,
    /// Seconds that a lease lasts without a heartbeat.
    #[arg(long, env = "COUNTERSTAIN_LEASE_SECONDS", default_value_t = 30, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub lease_seconds: u64,
    /// Failed attempts after which a job fails.
    #[arg(long, env = "COUNTERSTAIN_MAX_ATTEMPTS", default_value_t = 3, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_attempts: u32,
    /// Leases lost without progress after which a job fails.
    #[arg(long, env = "COUNTERSTAIN_MAX_LOST_LEASES", default_value_t = 10, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_lost_leases: u32,
}

impl Options {
    /// How patient the coordinator is to be.
    pub fn policy(&self) -> Policy {
        Policy {
            lease: self.lease_seconds * 1_000,
            max_attempts: self.max_attempts,
            max_lost_leases: self.max_lost_leases,
            ..Policy::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_the_default() {
        let options =
            Options::try_parse_from(["coordinator", "--database", "sqlite:x", "--store", "y"]).unwrap();
        assert!(options.listen.ip().is_loopback() && !options.allow_remote);
        assert_eq!(options.policy(), Policy::default());
    }
}
